# A bond takes the address, all its ports take it too, and all have their own again afterwards. The client needs no ARP.
cables
before_s0=$(mac_of s0) before_s1=$(mac_of s1)
for port in s0 s1; do ip -n switch link set $port master br0; done
join_bond mode active-backup miimon 50 primary s0
vlan
ip link add link bond0.10 name bond0.10.20 up type vlan id 20
before=$(macs)
taken="nic=bond0 mac=02:00:00:00:00:01 ip=192.0.2.10/24"
ip -n client neigh replace 192.0.2.10 lladdr 02:00:00:00:00:01 nud permanent dev eth0

ocf 7 MACaddr monitor $taken
ocf 0 MACaddr start $taken
ocf 0 MACaddr monitor $taken
for link in bond0 s0 s1 bond0.10 bond0.10.20; do same "the address of $link" "$(mac_of $link)" 02:00:00:00:00:01; done
same "the port to it" "$(port_to 02:00:00:00:00:01)" s0
reaches 192.0.2.10 || fail "the client does not reach it"
# The other links have it by nature, which is no conflict.
ocf 0 MACaddr start $taken
ocf 0 MACaddr monitor $taken

pull s0
within 10 active_is s1
ocf 0 MACaddr monitor $taken
within 5 reaches 192.0.2.10
same "the port to it" "$(port_to 02:00:00:00:00:01)" s1
pull s1
within 10 has_no_carrier bond0
ocf 1 MACaddr monitor $taken
because "bond0 has no link"

ocf 0 MACaddr stop $taken
same "the addresses after stop" "$(macs)" "$before"
same "its place after stop" "$(places 192.0.2.10)" ""
ocf 7 MACaddr monitor $taken
ip link del bond0
same "the address of s0 outside of the bond" "$(mac_of s0)" "$before_s0"
same "the address of s1 outside of the bond" "$(mac_of s1)" "$before_s1"
