# Where all ports are active, their speeds add up.
attrd
bond mode balance-rr miimon 50
watch="interface=bond0 scale=speed link_status_only=true repeat_count=1"
ocf 0 ethmonitor start $watch
worth "$(cat /sys/class/net/bond0/speed)" ethmonitor-bond0 ethmonitor "$watch"
same "the speed of two ports" "$(attribute ethmonitor-bond0)" $((2 * $(cat /sys/class/net/s0/speed)))
pull s0
within 10 ports_up 1
worth "$(cat /sys/class/net/s1/speed)" ethmonitor-bond0 ethmonitor "$watch"
pull s1
within 10 has_no_carrier bond0
worth 0 ethmonitor-bond0 ethmonitor "$watch"
