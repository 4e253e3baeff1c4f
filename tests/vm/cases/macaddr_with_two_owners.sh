# Who has the address behind the switch is found through a bond and through a VLAN.
bond mode active-backup miimon 50
vlan
before=$(macs)
ip -n client link set eth0 address 02:00:00:00:00:01
ip -n client link set eth0.10 address 02:00:00:00:00:01
for nic in bond0 bond0.10; do
  for mode in device macvlan; do
    ocf 1 MACaddr start nic=$nic mac=02:00:00:00:00:01 mode=$mode
    because "another host has 02:00:00:00:00:01"
    same "the addresses after a failed start" "$(macs)" "$before"
  done
done
