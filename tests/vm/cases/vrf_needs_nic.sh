# Without nic an address is outside of all VRFs: what is in them is somebody else's.
cables
ip link add red type vrf table 100
ip link set red up
ip link set s0 master red
ip link set s0 up
ip link set s1 up
for port in s0 s1; do within 10 has_carrier $port; done
ip addr add 192.0.2.1/24 dev s0
ip addr add 192.0.2.10/24 dev s0

ocf 7 IPaddr2 monitor ip=192.0.2.10
ocf 0 IPaddr2 stop ip=192.0.2.10
same "the VRF's own" "$(places 192.0.2.10)" "s0 192.0.2.10/24"
ocf 1 IPaddr2 start ip=192.0.2.10
because "give nic"
same "the VRF's own" "$(places 192.0.2.10)" "s0 192.0.2.10/24"

ip addr add 192.0.2.2/24 dev s1
ocf 0 IPaddr2 start ip=192.0.2.10 conflict_check=false
same "both" "$(places 192.0.2.10)" "s0 192.0.2.10/24,s1 192.0.2.10/24"
ocf 0 IPaddr2 monitor ip=192.0.2.10
ocf 0 IPaddr2 stop ip=192.0.2.10
same "the VRF's own" "$(places 192.0.2.10)" "s0 192.0.2.10/24"
