# A VLAN over a bond: it is as well as the bond is.
bond mode active-backup miimon 50 primary s0
vlan
vip="ip=198.51.100.10 nic=bond0.10 cidr_netmask=24"

ocf 0 IPaddr2 start $vip
ocf 0 IPaddr2 monitor $vip
same "its place" "$(places 198.51.100.10)" "bond0.10 198.51.100.10/24"
reaches 198.51.100.10 || fail "the client does not reach it in the VLAN"
same "what the client knows" "$(known 198.51.100.10)" "$(mac_of bond0.10)"

pull s0
within 10 active_is s1
ocf 0 IPaddr2 monitor $vip
reaches 198.51.100.10 || fail "the client does not reach it through the other port"

pull s1
within 10 has_no_carrier bond0.10
within 10 grep -q lowerlayerdown /sys/class/net/bond0.10/operstate
ocf 1 IPaddr2 monitor $vip
because "198.51.100.10 is configured" "bond0.10 has no link" "LOWERLAYERDOWN" "lower device"
ocf 0 IPaddr2 stop $vip
same "its place after stop" "$(places 198.51.100.10)" ""
ocf 1 IPaddr2 start $vip
because "bond0.10 has no link"

plug s0
within 10 has_carrier bond0.10
ip link set bond0.10 down
ocf 0 IPaddr2 start $vip
ocf 0 IPaddr2 monitor $vip
ip -n client addr add 198.51.100.11/24 dev eth0.10
ocf 1 IPaddr2 start ip=198.51.100.11 nic=bond0.10 cidr_netmask=24
because "another host has 198.51.100.11" "$(ip netns exec client cat /sys/class/net/eth0.10/address)"
ocf 0 IPaddr2 stop $vip

# The lower device is down, which the VLAN cannot mend; and start touches nothing that it was not told to.
ip link set bond0 down
ocf 1 IPaddr2 start $vip
because "bond0.10" "lower device" "ip link set bond0 up"
same "its place after a failed start" "$(places 198.51.100.10)" ""
ip link show bond0 | grep -q 'state DOWN' || fail "bond0 was set up"

# Nothing is left to remove when the VLAN is gone.
ip link set bond0 up
within 10 has_carrier bond0
ocf 0 IPaddr2 start $vip
ip link del bond0.10
ocf 7 IPaddr2 monitor $vip
ocf 0 IPaddr2 stop $vip
ocf 2 IPaddr2 start $vip
because "bond0.10"
