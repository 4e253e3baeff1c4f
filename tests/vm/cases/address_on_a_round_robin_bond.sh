# balance-rr: every port is active, and the carrier is lost with the last.
bond mode balance-rr miimon 50
vip="ip=192.0.2.10 nic=bond0 cidr_netmask=24"

ocf 0 IPaddr2 start $vip
pull s1
within 10 ports_up 1
ocf 0 IPaddr2 monitor $vip
within 5 reaches 192.0.2.10
pull s0
within 10 has_no_carrier bond0
ocf 1 IPaddr2 monitor $vip
because "bond0 has no link"
ocf 0 IPaddr2 stop $vip
same "its place after stop" "$(places 192.0.2.10)" ""
