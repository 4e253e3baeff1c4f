# With fail_over_mac=active the bond says yes and keeps the address of its active port. That is seen, with one port too.
bond mode active-backup miimon 50 fail_over_mac active
ip link set s1 nomaster
before=$(macs)
ocf 1 MACaddr start nic=bond0 mac=02:00:00:00:00:01
because "bond0" "said yes and kept" "mode=macvlan"
same "the addresses after a failed start" "$(macs)" "$before"
ocf 0 MACaddr stop nic=bond0 mac=02:00:00:00:00:01

virtual="nic=bond0 mac=02:00:00:00:00:01 mode=macvlan ip=192.0.2.10/24"
ip -n client neigh replace 192.0.2.10 lladdr 02:00:00:00:00:01 nud permanent dev eth0
ocf 0 MACaddr start $virtual
within 5 reaches 192.0.2.10
ocf 0 MACaddr stop $virtual
same "the addresses after stop" "$(macs)" "$before"
