# The value follows the ports: half of a bond is worth half, and none of it nothing. It is never a failure.
attrd
bond mode active-backup miimon 50 primary s0
watch="interface=bond0 multiplier=100 link_status_only=true repeat_count=1"

ocf 7 ethmonitor monitor $watch
ocf 0 ethmonitor start $watch
same "the value after start" "$(attribute ethmonitor-bond0)" 100
worth 200 ethmonitor-bond0 ethmonitor "$watch scale=ports"
pull s0
within 10 active_is s1
worth 100 ethmonitor-bond0 ethmonitor "$watch scale=ports"
worth 100 ethmonitor-bond0 ethmonitor "$watch"
pull s1
within 10 has_no_carrier bond0
worth 0 ethmonitor-bond0 ethmonitor "$watch scale=ports"
worth 0 ethmonitor-bond0 ethmonitor "$watch"
grep -q 'bond0 has no link' /tmp/log || fail "the log does not say why"
plug s1
within 10 has_carrier bond0
worth 100 ethmonitor-bond0 ethmonitor "$watch scale=ports"
ip link set bond0 down
worth 0 ethmonitor-bond0 ethmonitor "$watch scale=ports"
ip link del bond0
worth 0 ethmonitor-bond0 ethmonitor "$watch scale=ports"
ocf 0 ethmonitor stop $watch
same "the value after stop" "$(attribute ethmonitor-bond0)" none
ocf 7 ethmonitor monitor $watch
