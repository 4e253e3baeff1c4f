# Who has the address behind the switch is found through a bond and through a VLAN: each time, and although nobody here
# answers its questions, since there is no link-local address here.
bond mode active-backup miimon 50
vlan
ip -n client link set eth0 address 02:00:00:00:00:01
ip -n client link set eth0.10 address 02:00:00:00:00:01
ip -6 addr flush dev bond0
ip -6 addr flush dev bond0.10
settled() { [ -z "$(ip -n client -o addr show tentative)" ] && [ "$(ip -n client -o addr show scope link | wc -l)" = 2 ]; }
within 10 settled
before=$(macs)
for nic in bond0 bond0.10; do
  for mode in device macvlan device; do
    ocf 1 MACaddr start nic=$nic mac=02:00:00:00:00:01 mode=$mode
    because "another host has 02:00:00:00:00:01"
    same "the addresses after a failed start" "$(macs)" "$before"
  done
done
