# ipvlan links share their parent's hardware address, and the kernel lets only one of them have an IP address.
bond mode active-backup miimon 50
ip link add link bond0 name iv0 type ipvlan mode l2
ip link add link bond0 name iv1 type ipvlan mode l2
ip link set iv0 up
ip link set iv1 up
vip="ip=192.0.2.10 nic=iv0 cidr_netmask=24"

ocf 0 IPaddr2 start $vip
ocf 0 IPaddr2 monitor $vip
same "its place" "$(places 192.0.2.10)" "iv0 192.0.2.10/24"
within 5 reaches 192.0.2.10
pull s0
within 10 active_is s1
ocf 0 IPaddr2 monitor $vip
pull s1
within 10 has_no_carrier iv0
ocf 1 IPaddr2 monitor $vip
because "iv0 has no link"
ocf 0 IPaddr2 stop $vip
same "its place after stop" "$(places 192.0.2.10)" ""

# A container has it, on a link that shares the hardware address: no ARP can tell, but the kernel does.
ip netns add container
ip link set iv1 netns container
ip -n container addr add 192.0.2.10/24 dev iv1
ip -n container link set iv1 up
plug s0
within 10 has_carrier iv0
ocf 1 IPaddr2 start $vip
because "cannot add 192.0.2.10/24 to iv0" "Address already in use"
same "its place after a failed start" "$(places 192.0.2.10)" ""
