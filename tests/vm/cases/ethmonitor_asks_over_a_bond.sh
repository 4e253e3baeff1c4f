# A link is not enough: packets have to arrive, or a neighbour to answer, through whatever port is left.
attrd
bond mode active-backup miimon 50 primary s0
watch="interface=bond0 repeat_count=1 pktcnt_timeout=1"
# Nothing arrives by itself.
for namespace in client switch; do ip netns exec $namespace sysctl -qw net.ipv6.conf.all.disable_ipv6=1; done
ip neigh replace 192.0.2.2 lladdr "$(ip netns exec client cat /sys/class/net/eth0/address)" dev bond0
ocf 0 ethmonitor start $watch
worth 1 ethmonitor-bond0 ethmonitor "$watch"
pull s0
within 10 active_is s1
worth 1 ethmonitor-bond0 ethmonitor "$watch"
# The cable is in and the switch does not forward.
ip -n switch link set s1 nomaster
worth 0 ethmonitor-bond0 ethmonitor "$watch"
grep -q 'bond0 has a link, but received no packet' /tmp/log || fail "the log does not say why"
