# Announcements go on when a port is lost: in the background of start, and from monitors.
bond mode active-backup miimon 50 primary s0
vip="ip=192.0.2.10 nic=bond0 cidr_netmask=24"

ocf 0 IPaddr2 start $vip arp_count=40 arp_interval=100
heard client eth0 'arp and src host 192.0.2.10' || fail "no announcement"
pull s0
within 10 active_is s1
heard client eth0 'arp and src host 192.0.2.10' || fail "no announcement through the other port"
same "the port to it" "$(port_to "$(mac_of bond0)")" s1

ip -n client neigh replace 192.0.2.10 lladdr 02:00:00:00:00:99 nud stale dev eth0
ocf 0 IPaddr2 monitor $vip arp_count_refresh=1
within 5 client_knows 192.0.2.10 "$(mac_of bond0)"
