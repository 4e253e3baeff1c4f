# 802.3ad: the partner sees another system, and aggregates with it as before.
cables
ip -n switch link add agg type bond mode 802.3ad miimon 50 lacp_rate fast
for port in s0 s1; do
  ip -n switch link set $port down
  ip -n switch link set $port master agg
  ip -n switch link set $port up
done
ip -n switch link set agg master br0 up
join_bond mode 802.3ad miimon 50 lacp_rate fast
before=$(macs)
taken="nic=bond0 mac=02:00:00:00:00:01 ip=192.0.2.10/24"
ip -n client neigh replace 192.0.2.10 lladdr 02:00:00:00:00:01 nud permanent dev eth0
within 20 reaches 192.0.2.1

ocf 0 MACaddr start $taken
ocf 0 MACaddr monitor $taken
within 20 reaches 192.0.2.10
pull s0
within 10 ports_up 1
ocf 0 MACaddr monitor $taken
within 20 reaches 192.0.2.10
ocf 0 MACaddr stop $taken
same "the addresses after stop" "$(macs)" "$before"
