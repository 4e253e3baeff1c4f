# Without nic the subnet decides: never a bond's port, not even one with an address of its own.
bond mode active-backup miimon 50
vlan
ip link add dummy0 type dummy
ip addr add 203.0.113.1/24 dev dummy0
ip link set dummy0 up
ip addr add 192.0.2.5/24 dev s0 metric 0
ip -o route show
for place in 192.0.2.10:bond0 198.51.100.10:bond0.10 203.0.113.10:dummy0; do
  ip=${place%:*} nic=${place#*:}
  ocf 0 IPaddr2 start "ip=$ip"
  ocf 0 IPaddr2 monitor "ip=$ip"
  same "its place" "$(places "$ip")" "$nic $ip/24"
  ocf 0 IPaddr2 stop "ip=$ip"
  same "its place after stop" "$(places "$ip")" ""
done
same "the port's own address" "$(places 192.0.2.5)" "s0 192.0.2.5/24"
