# A bond that is the port of a VRF: its own ports are still none for addresses, and it has the VRF's.
bond mode active-backup miimon 50
ip link add red type vrf table 100
ip link set red up
ip link set bond0 master red
ip addr replace 192.0.2.1/24 dev bond0
within 10 has_carrier bond0
vip="ip=192.0.2.10 nic=bond0"

ocf 0 IPaddr2 start $vip
ocf 0 IPaddr2 monitor $vip
same "its place" "$(places 192.0.2.10)" "bond0 192.0.2.10/24"
within 5 reaches 192.0.2.10
pull s0
pull s1
within 10 has_no_carrier bond0
ocf 1 IPaddr2 monitor $vip
because "bond0 has no link"
ocf 0 IPaddr2 stop $vip
same "its place after stop" "$(places 192.0.2.10)" ""
