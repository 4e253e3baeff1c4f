# What arrives at a port is the bond's or the bridge's: an address on the port would work by accident or not at all.
bond mode active-backup miimon 50
ip link add br1 type bridge
ip link add b0 type veth peer name b1
ip link set b0 master br1 up
for place in s0:bond0 s1:bond0 b0:br1; do
  port=${place%:*} owner=${place#*:}
  vip="ip=192.0.2.10 nic=$port cidr_netmask=24"
  ocf 2 IPaddr2 start $vip
  because "$port is a port of $owner" "nic=$owner"
  ocf 2 IPaddr2 validate-all $vip OCF_CHECK_LEVEL=10
  because "nic=$owner"
  ocf 7 IPaddr2 monitor $vip
  ocf 0 IPaddr2 stop $vip
  same "its place" "$(places 192.0.2.10)" ""
done

# One that was added to a bond afterwards.
ip link set s1 nomaster
ip link set s1 up
vip="ip=192.0.2.10 nic=s1 cidr_netmask=24"
ocf 0 IPaddr2 start $vip conflict_check=false
ocf 0 IPaddr2 monitor $vip
ip link set s1 down
ip link set s1 master bond0
ocf 1 IPaddr2 monitor $vip
because "s1 is a port of a bond"
ocf 0 IPaddr2 stop $vip
same "its place after stop" "$(places 192.0.2.10)" ""

# The address of a resource without nic moves from the port to where it belongs.
ip addr add 192.0.2.10/24 dev s1
ocf 1 IPaddr2 monitor ip=192.0.2.10
ocf 0 IPaddr2 start ip=192.0.2.10
same "its place" "$(places 192.0.2.10)" "bond0 192.0.2.10/24"
