# 802.3ad with min_links: to lose one port of two takes the bond down, although the other one works.
cables
ip -n switch link add agg type bond mode 802.3ad miimon 50 lacp_rate fast
for port in s0 s1; do
  ip -n switch link set $port down
  ip -n switch link set $port master agg
  ip -n switch link set $port up
done
ip -n switch link set agg master br0 up
join_bond mode 802.3ad miimon 50 lacp_rate fast min_links 1
vip="ip=192.0.2.10 nic=bond0 cidr_netmask=24"

ocf 0 IPaddr2 start $vip
within 20 reaches 192.0.2.10
ocf 0 IPaddr2 monitor $vip
pull s0
within 10 ports_up 1
ocf 0 IPaddr2 monitor $vip
within 10 reaches 192.0.2.10

echo 2 >/sys/class/net/bond0/bonding/min_links
within 10 has_no_carrier bond0
ocf 1 IPaddr2 monitor $vip
because "192.0.2.10 is configured" "bond0 has no link"
plug s0
# The bond's carrier comes and goes until both ends of the port have agreed (IEEE 802.1AX: all six bits of the state).
distributes() { ip -d link show "$1" | grep -q 'ad_actor_oper_port_state 63 '; }
within 20 distributes s0
within 20 has_carrier bond0
ocf 0 IPaddr2 monitor $vip
ocf 0 IPaddr2 stop $vip
same "its place after stop" "$(places 192.0.2.10)" ""
