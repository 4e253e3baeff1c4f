# Duplicate address detection ends on both, and finds an owner behind the switch.
bond mode active-backup miimon 50
vlan
for place in bond0:2001:db8:20: bond0.10:2001:db8:10:; do
  nic=${place%%:*} network=${place#*:}
  vip="ip=$network:10 nic=$nic cidr_netmask=64"
  ocf 0 IPaddr2 start $vip
  ocf 0 IPaddr2 monitor $vip
  same "its place" "$(places "$network:10")" "$nic $network:10/64"
  pull s0
  within 10 active_is s1
  ocf 0 IPaddr2 monitor $vip
  pull s1
  within 10 has_no_carrier "$nic"
  ocf 1 IPaddr2 monitor $vip
  because "$nic has no link"
  ocf 0 IPaddr2 stop $vip
  same "its place after stop" "$(places "$network:10")" ""
  plug s0
  plug s1
  within 10 has_carrier "$nic"
done
ip -n client addr add 2001:db8:10::10/64 dev eth0.10 nodad
ocf 1 IPaddr2 start ip=2001:db8:10::10 nic=bond0.10 cidr_netmask=64
because "2001:db8:10::10" "another host"
same "its place after a failed start" "$(places 2001:db8:10::10)" ""
