# A VLAN takes the address, and the bond below it keeps its own.
bond mode active-backup miimon 50 primary s0
vlan
before=$(macs)
taken="nic=bond0.10 mac=02:00:00:00:00:01 ip=198.51.100.10/24"
ip -n client neigh replace 198.51.100.10 lladdr 02:00:00:00:00:01 nud permanent dev eth0.10

ocf 0 MACaddr start $taken
ocf 0 MACaddr monitor $taken
same "the address of the VLAN" "$(mac_of bond0.10)" 02:00:00:00:00:01
same "the addresses of bond0, s0 and s1" "$(macs | grep -v bond0.10)" "$(echo "$before" | grep -v bond0.10)"
reaches 198.51.100.10 || fail "the client does not reach it"
pull s0
within 10 active_is s1
ocf 0 MACaddr monitor $taken
within 5 reaches 198.51.100.10
pull s1
within 10 has_no_carrier bond0.10
ocf 1 MACaddr monitor $taken
because "bond0.10 has no link"
ocf 0 MACaddr stop $taken
same "the addresses after stop" "$(macs)" "$before"
same "its place after stop" "$(places 198.51.100.10)" ""
