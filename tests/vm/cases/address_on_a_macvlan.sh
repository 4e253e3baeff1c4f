# A virtual interface with a hardware address of its own, over a bond and over a VLAN of it.
bond mode active-backup miimon 50
vlan
for place in bond0:192.0.2.10 bond0.10:198.51.100.10; do
  parent=${place%:*} ip=${place#*:}
  ip link add link "$parent" name mv0 address 02:00:00:00:00:01 type macvlan mode bridge
  vip="ip=$ip nic=mv0 cidr_netmask=24"
  ocf 0 IPaddr2 start $vip
  ocf 0 IPaddr2 monitor $vip
  same "its place" "$(places "$ip")" "mv0 $ip/24"
  within 5 client_knows "$ip" 02:00:00:00:00:01
  pull s0
  within 10 active_is s1
  ocf 0 IPaddr2 monitor $vip
  pull s1
  within 10 has_no_carrier mv0
  ocf 1 IPaddr2 monitor $vip
  because "mv0 has no link"
  ocf 0 IPaddr2 stop $vip
  same "its place after stop" "$(places "$ip")" ""
  ip link del mv0
  plug s0
  plug s1
  within 10 has_carrier "$parent"
done
