# An address on a bond with one active port: losing a port is nobody's business, losing all of them is a failure.
bond mode active-backup miimon 50
vip="ip=192.0.2.10 nic=bond0 cidr_netmask=24"

ocf 7 IPaddr2 monitor $vip
ocf 0 IPaddr2 start $vip
ocf 0 IPaddr2 monitor $vip
same "its place" "$(places 192.0.2.10)" "bond0 192.0.2.10/24"
reaches 192.0.2.10 || fail "the client cannot reach it"
same "what the client knows" "$(known 192.0.2.10)" "$(mac_of bond0)"
