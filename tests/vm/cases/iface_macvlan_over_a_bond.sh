# A macvlan interface over a bond and over a VLAN of it, which another resource puts an address on.
bond mode active-backup miimon 50 primary s0
vlan
before=$(macs)
for place in bond0:192.0.2.10 bond0.10:198.51.100.10; do
  device=${place%:*} ip=${place#*:}
  made="device=$device name=mv0 mac=02:00:00:00:00:01"
  vip="ip=$ip nic=mv0 cidr_netmask=24"
  ocf 7 iface-macvlan monitor $made
  ocf 0 iface-macvlan start $made
  ocf 0 iface-macvlan monitor $made
  same "its address" "$(mac_of mv0)" 02:00:00:00:00:01
  ocf 0 IPaddr2 start $vip
  within 5 client_knows "$ip" 02:00:00:00:00:01
  pull s0
  within 10 active_is s1
  ocf 0 iface-macvlan monitor $made
  within 5 reaches "$ip"
  ocf 0 IPaddr2 stop $vip
  ocf 0 iface-macvlan stop $made
  ocf 7 iface-macvlan monitor $made
  same "the addresses after stop" "$(macs)" "$before"
  plug s0
  within 10 active_is s0
done
ocf 2 iface-macvlan start device=s0 name=mv0
because "s0 is a port of bond0"
