# The same bits in another VRF are another address: what one resource does leaves the other one's alone.
cables
ip link add red type vrf table 100
ip link add blue type vrf table 200
ip link set red up
ip link set blue up
ip link set s0 master red
ip link set s1 master blue
ip link set s0 up
ip link set s1 up
for port in s0 s1; do within 10 has_carrier $port; done
ip addr add 192.0.2.1/24 dev s0
ip addr add 192.0.2.1/24 dev s1
red="ip=192.0.2.10 nic=s0 cidr_netmask=24"
blue="ip=192.0.2.10 nic=s1 cidr_netmask=24"

ocf 0 IPaddr2 start $red
same "after the first start" "$(places 192.0.2.10)" "s0 192.0.2.10/24"
ocf 7 IPaddr2 monitor $blue
ocf 0 IPaddr2 stop $blue
same "after the other's stop" "$(places 192.0.2.10)" "s0 192.0.2.10/24"
ocf 0 IPaddr2 start $blue
same "after both starts" "$(places 192.0.2.10)" "s0 192.0.2.10/24,s1 192.0.2.10/24"
for vip in "$red" "$blue"; do
  ocf 0 IPaddr2 monitor $vip
  ocf 0 IPaddr2 monitor $vip CRM_meta_interval=10000
  ocf 0 IPaddr2 start $vip
done
ocf 0 IPaddr2 stop $red
same "after one stop" "$(places 192.0.2.10)" "s1 192.0.2.10/24"
ocf 7 IPaddr2 monitor $red
ocf 0 IPaddr2 monitor $blue
