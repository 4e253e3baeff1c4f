# Start sets the bond up, and stop sets it down again; a failed start takes back what it did.
bond mode active-backup miimon 50
taken="nic=bond0 mac=02:00:00:00:00:01"
ip addr flush dev bond0
before=$(macs)
ip link set bond0 down
ocf 0 MACaddr start $taken
ocf 0 MACaddr monitor $taken
ocf 0 MACaddr stop $taken
same "the addresses after stop" "$(macs)" "$before"
ip link show bond0 | grep -q 'state DOWN' || fail "bond0 is up after stop"

ip link set bond0 up
pull s0
pull s1
within 10 has_no_carrier bond0
ip link set bond0 down
ocf 1 MACaddr start $taken
because "bond0 has no link"
same "the addresses after a failed start" "$(macs)" "$before"
ip link show bond0 | grep -q 'state DOWN' || fail "bond0 is up after a failed start"
ocf 2 MACaddr start nic=s0 mac=02:00:00:00:00:01
because "s0 is a port of bond0"
same "the addresses after a refusal" "$(macs)" "$before"
