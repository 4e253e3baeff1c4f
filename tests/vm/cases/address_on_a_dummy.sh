# A dummy link has neither neighbours nor an operational state: there is nothing to announce and nothing wrong.
ip link add dummy0 type dummy
vip="ip=203.0.113.9 nic=dummy0 cidr_netmask=32"

ocf 0 IPaddr2 start $vip
ocf 0 IPaddr2 monitor $vip
same "its place" "$(places 203.0.113.9)" "dummy0 203.0.113.9/32"
same "its state" "$(cat /sys/class/net/dummy0/operstate)" unknown
ip link set dummy0 down
ocf 1 IPaddr2 monitor $vip
because "dummy0 is administratively down"
ip link set dummy0 up
ocf 0 IPaddr2 monitor $vip
ocf 0 IPaddr2 start ip=2001:db8::9 nic=dummy0 cidr_netmask=128
ocf 0 IPaddr2 monitor ip=2001:db8::9
ocf 0 IPaddr2 stop ip=2001:db8::9
ocf 0 IPaddr2 stop $vip
same "its place after stop" "$(places 203.0.113.9)$(places 2001:db8::9)" ""
