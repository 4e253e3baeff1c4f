# A virtual card with the address over a bond and over a VLAN of it; nothing else changes.
bond mode active-backup miimon 50 primary s0
vlan
before=$(macs)
for place in bond0:192.0.2.10:eth0 bond0.10:198.51.100.10:eth0.10; do
  nic=${place%%:*} rest=${place#*:}
  ip=${rest%:*} far=${rest#*:}
  taken="nic=$nic mac=02:00:00:00:00:01 mode=macvlan name=vip0 ip=$ip/24"
  ip -n client neigh replace "$ip" lladdr 02:00:00:00:00:01 nud permanent dev "$far"
  ocf 0 MACaddr start $taken
  ocf 0 MACaddr monitor $taken
  same "its place" "$(places "$ip")" "vip0 $ip/24"
  same "the other addresses" "$(macs | grep -v vip0)" "$before"
  reaches "$ip" || fail "the client does not reach it"
  pull s0
  within 10 active_is s1
  ocf 0 MACaddr monitor $taken
  within 5 reaches "$ip"
  same "the port to it" "$(port_to 02:00:00:00:00:01)" s1
  pull s1
  within 10 has_no_carrier vip0
  ocf 1 MACaddr monitor $taken
  because "vip0 has no link"
  ocf 0 MACaddr stop $taken
  same "the addresses after stop" "$(macs)" "$before"
  same "its place after stop" "$(places "$ip")" ""
  plug s0
  plug s1
  within 10 active_is s0
  within 10 has_carrier "$nic"
done
