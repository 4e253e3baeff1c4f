# A driver that changes addresses only while the card is down (ne2k-pci answers EBUSY before).
outside() { nsenter --net=/machine /usr/bin/ip "$@"; }
card=$(outside -br link show | awk '$1 != "lo" { print $1; exit }')
outside link set "$card" netns 1
ip link set "$card" name eth1
advertised() { ip -6 -o addr show dev eth1 | grep mngtmpaddr; }
flags() { cat /sys/class/net/eth1/flags; }
own=$(mac_of eth1)
ip link set eth1 up
! ip link set eth1 address 02:00:00:00:00:09 || fail "the driver does so while it is up; this needs another one"
taken="nic=eth1 mac=02:00:00:00:00:01 ip=192.0.2.10/24"
for state in up down; do
  ip link set eth1 $state
  before=$(flags)
  ocf 0 MACaddr start $taken
  ocf 0 MACaddr monitor $taken
  ! grep 'cannot announce' /tmp/log || fail "the switches were not told"
  # A router on this network makes the kernel give the card an address, which nobody uses.
  within 20 advertised
  same "its address" "$(mac_of eth1)" 02:00:00:00:00:01
  same "its place" "$(places 192.0.2.10)" "eth1 192.0.2.10/24"
  ocf 0 MACaddr stop $taken
  same "its address after stop" "$(mac_of eth1)" "$own"
  same "its state after stop" "$(flags)" "$before"
done
# What somebody else put there survives stop, and start does not take it down.
ip link set eth1 up
ocf 0 MACaddr start $taken
ip addr add 198.51.100.1/24 dev eth1
ip route add 203.0.113.0/24 via 198.51.100.2
ocf 0 MACaddr stop $taken
same "its place after stop" "$(places 198.51.100.1)" "eth1 198.51.100.1/24"
ip route show 203.0.113.0/24 | grep -q 198.51.100.2 || fail "the route is gone"
ocf 1 MACaddr start $taken
because "wants it down first" "198.51.100.1/24" "mode=macvlan"
same "its address after a refusal" "$(mac_of eth1)" "$own"
