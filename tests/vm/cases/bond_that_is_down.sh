# Start sets a bond up and waits until it has chosen a port; stop on a bond that somebody set down removes the address.
bond mode active-backup miimon 50
vip="ip=192.0.2.10 nic=bond0 cidr_netmask=24"

ip link set bond0 down
ocf 0 IPaddr2 start $vip
ocf 0 IPaddr2 monitor $vip
reaches 192.0.2.10 || fail "the client does not reach it"

ip link set bond0 down
ocf 1 IPaddr2 monitor $vip
because "bond0 is administratively down" "ip link set bond0 up"
ocf 0 IPaddr2 stop $vip
same "its place after stop" "$(places 192.0.2.10)" ""

# A bond without ports is up in vain.
ip link add bond1 type bond
ocf 1 IPaddr2 start ip=203.0.113.9 nic=bond1 cidr_netmask=24
because "bond1 has no link"
same "its place" "$(places 203.0.113.9)" ""
