# A VLAN is as well as the bond below it, and has no ports of its own; a dummy link works as long as it is up.
attrd
bond mode active-backup miimon 50 primary s0
vlan
ip link add dummy0 type dummy
ip link set dummy0 up
vlan="interface=bond0.10 name=tagged multiplier=10 scale=ports link_status_only=true repeat_count=1"
dummy="interface=dummy0 link_status_only=true repeat_count=1"

ocf 0 ethmonitor start $vlan
same "the value of the VLAN" "$(attribute tagged)" 10
ocf 0 ethmonitor start $vlan
worth 10 tagged ethmonitor "$vlan"
pull s0
within 10 active_is s1
worth 10 tagged ethmonitor "$vlan"
pull s1
within 10 has_no_carrier bond0.10
worth 0 tagged ethmonitor "$vlan"
plug s1
within 10 has_carrier bond0.10
worth 10 tagged ethmonitor "$vlan"
ocf 0 ethmonitor stop $vlan

ocf 0 ethmonitor start $dummy
worth 1 ethmonitor-dummy0 ethmonitor "$dummy"
ip link set dummy0 down
worth 0 ethmonitor-dummy0 ethmonitor "$dummy"
