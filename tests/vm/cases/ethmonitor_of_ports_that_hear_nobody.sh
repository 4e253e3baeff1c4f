# A bond that tests its ports by ARP does not use one that has a carrier and hears nobody.
attrd
bond mode active-backup arp_interval 100 arp_ip_target 192.0.2.2 arp_validate all
within 10 ports_up 2
watch="interface=bond0 scale=ports link_status_only=true repeat_count=1"
ocf 0 ethmonitor start $watch
worth 2 ethmonitor-bond0 ethmonitor "$watch"
ip -n switch link set s0 nomaster
within 10 ports_up 1
same "the carrier" "$(carrier_of s0)" 1
worth 1 ethmonitor-bond0 ethmonitor "$watch"
ip -n switch link set s1 nomaster
within 10 has_no_carrier bond0
worth 0 ethmonitor-bond0 ethmonitor "$watch"
