# A dummy link takes any address, and has nobody to ask or to tell.
ip link add dummy0 type dummy
before=$(macs)
taken="nic=dummy0 mac=02:00:00:00:00:01 ip=203.0.113.9/32,2001:db8::9/128"
ocf 0 MACaddr start $taken
ocf 0 MACaddr monitor $taken
same "its address" "$(mac_of dummy0)" 02:00:00:00:00:01
same "its places" "$(places 203.0.113.9) $(places 2001:db8::9)" "dummy0 203.0.113.9/32 dummy0 2001:db8::9/128"
ocf 0 MACaddr stop $taken
same "the addresses after stop" "$(macs)" "$before"
ip link show dummy0 | grep -q 'state DOWN' || fail "dummy0 is up after stop"
