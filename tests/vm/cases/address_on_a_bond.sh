# A bond with one active port: to lose a port is nobody's business, to lose all of them is a failure.
bond mode active-backup miimon 50 primary s0
vip="ip=192.0.2.10 nic=bond0 cidr_netmask=24"

ocf 7 IPaddr2 monitor $vip
ocf 0 IPaddr2 start $vip
ocf 0 IPaddr2 monitor $vip
same "its place" "$(places 192.0.2.10)" "bond0 192.0.2.10/24"
reaches 192.0.2.10 || fail "the client does not reach it"
same "what the client knows" "$(known 192.0.2.10)" "$(mac_of bond0)"
same "the port to it" "$(port_to "$(mac_of bond0)")" s0

pull s0
within 10 active_is s1
ocf 0 IPaddr2 monitor $vip
same "its place" "$(places 192.0.2.10)" "bond0 192.0.2.10/24"
reaches 192.0.2.10 || fail "the client does not reach it through the other port"
same "the port to it" "$(port_to "$(mac_of bond0)")" s1

pull s1
within 10 has_no_carrier bond0
ocf 1 IPaddr2 monitor $vip
because "192.0.2.10 is configured" "bond0 has no link"
ocf 1 IPaddr2 monitor $vip CRM_meta_interval=10000
ocf 0 IPaddr2 monitor $vip check_link_status=false

plug s1
within 10 has_carrier bond0
ocf 0 IPaddr2 monitor $vip

pull s1
within 10 has_no_carrier bond0
ocf 0 IPaddr2 stop $vip
same "its place after stop" "$(places 192.0.2.10)" ""
ocf 7 IPaddr2 monitor $vip
ocf 1 IPaddr2 start $vip
because "cannot bring 192.0.2.10 up" "bond0 has no link"
same "its place after a failed start" "$(places 192.0.2.10)" ""
