# Each mode has its own way with hardware addresses. After give-back all are as before; where they would not be, nothing is
# taken.
cables
for port in s0 s1; do ip -n switch link set $port master br0; done
taken="nic=bond0 mac=02:00:00:00:00:01"
for mode in balance-rr active-backup balance-xor broadcast; do
  join_bond mode $mode miimon 50
  before=$(macs)
  ocf 0 MACaddr start $taken
  ocf 0 MACaddr monitor $taken
  for link in bond0 s0 s1; do same "the address of $link ($mode)" "$(mac_of $link)" 02:00:00:00:00:01; done
  pull s0
  within 10 ports_up 1
  ocf 0 MACaddr monitor $taken
  plug s0
  within 10 ports_up 2
  ocf 0 MACaddr stop $taken
  same "the addresses after stop ($mode)" "$(macs)" "$before"
  ip link del bond0
done
for mode in balance-tlb balance-alb "active-backup fail_over_mac active" "active-backup fail_over_mac follow"; do
  join_bond mode $mode miimon 50
  before=$(macs)
  ocf 2 MACaddr start $taken
  because "bond0 has ports with addresses of their own" "mode=macvlan"
  same "the addresses after a refusal ($mode)" "$(macs)" "$before"
  ocf 0 MACaddr start $taken mode=macvlan
  ocf 0 MACaddr monitor $taken mode=macvlan
  same "the other addresses ($mode)" "$(macs | grep -v vmac)" "$before"
  ocf 0 MACaddr stop $taken mode=macvlan
  same "the addresses after stop ($mode)" "$(macs)" "$before"
  ip link del bond0
done
