# An address on the VRF device belongs in the VRF, and is in the wrong place there for a resource on one of its ports.
cables
ip link add red type vrf table 100
ip link set red up
ip link set s0 master red
ip link set s0 up
ip link set s1 up
for port in s0 s1; do within 10 has_carrier $port; done
loopback="ip=192.0.2.10 nic=red cidr_netmask=32"
port="ip=192.0.2.10 nic=s0 cidr_netmask=24"
outside="ip=192.0.2.10 nic=s1 cidr_netmask=24"

ocf 0 IPaddr2 start $loopback
ocf 0 IPaddr2 monitor $loopback
same "its place" "$(places 192.0.2.10)" "red 192.0.2.10/32"
ocf 7 IPaddr2 monitor $outside
ocf 0 IPaddr2 stop $outside
same "its place after the stop of another" "$(places 192.0.2.10)" "red 192.0.2.10/32"

ocf 1 IPaddr2 monitor $port
because "red instead of s0"
ocf 0 IPaddr2 start $port
same "its place" "$(places 192.0.2.10)" "s0 192.0.2.10/24"

ocf 0 IPaddr2 start $outside conflict_check=false
same "both places" "$(places 192.0.2.10)" "s0 192.0.2.10/24,s1 192.0.2.10/24"
ocf 0 IPaddr2 stop $loopback
same "its place after stop in the VRF" "$(places 192.0.2.10)" "s1 192.0.2.10/24"
