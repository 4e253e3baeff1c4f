# What the cases have in common: `sh -eu lib.sh NAME` runs one. The oracle is iproute2, /proc, /sys and another host.

# This shell would take its own, which can do little.
ip() { /usr/bin/ip "$@"; }

mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
ip link set lo up

fail() {
  echo "FAILED: $*"
  ip -d addr show
  cat /tmp/log 2>/dev/null || true
  exit 1
}

# ocf CODE AGENT ACTION [NAME=VALUE...]: calls an agent as Pacemaker does. It must end with CODE; a failure gives one
# reason, a success none.
ocf() {
  expected=$1 agent=$2 action=$3
  shift 3
  called="$agent $action $*"
  for pair; do
    shift
    set -- "$@" "OCF_RESKEY_$pair"
  done
  code=0
  env -i PATH=/tmp/bin:/usr/bin:/bin OCF_ROOT=/usr/lib/ocf OCF_RA_VERSION_MAJOR=1 OCF_RA_VERSION_MINOR=1 \
    OCF_RESOURCE_INSTANCE=test HA_LOGFILE=/tmp/log "$@" "/agents/$agent" "$action" \
    >/tmp/stdout 2>/tmp/stderr || code=$?
  reason=$(sed -n 's/^ocf-exit-reason://p' /tmp/stderr)
  [ "$code" = "$expected" ] || fail "$called: $code instead of $expected: $(cat /tmp/stderr)"
  case $code in
    0 | 7) [ -z "$reason" ] || fail "$called: a reason with $code: $reason" ;;
    *) [ "$(echo "$reason" | wc -l)" = 1 ] && [ ${#reason} -gt 0 ] || fail "$called: not one reason: $reason" ;;
  esac
}

# because WORDS...: the last call gave a reason that has each of them.
because() {
  for words; do
    case $reason in *"$words"*) ;; *) fail "$called: no \"$words\" in \"$reason\"" ;; esac
  done
}

# same WHAT IS EXPECTED: two values are the same.
same() {
  [ "$2" = "$3" ] || fail "$1 is \"$2\" instead of \"$3\""
}

# within SECONDS COMMAND...: a command that succeeds before long.
within() {
  attempts=$(($1 * 20))
  shift
  until "$@" >/dev/null 2>&1; do
    attempts=$((attempts - 1))
    [ $attempts -gt 0 ] || fail "waited for: $*"
    usleep 50000
  done
}

# places IP [-n NAMESPACE]: where an address is, as "interface address/prefix".
places() {
  address=$1
  shift
  ip "$@" -o addr show | awk -v ip="$address" '{ split($4, part, "/"); if (part[1] == ip) print $2, $4 }' |
    sort | paste -sd, -
}

mac_of() { cat "/sys/class/net/$1/address"; }
# All hardware addresses here, one a line.
macs() { grep . /sys/class/net/*/address; }
carrier_of() { cat "/sys/class/net/$1/carrier"; }
has_carrier() { [ "$(carrier_of "$1")" = 1 ]; }
has_no_carrier() { [ "$(carrier_of "$1")" = 0 ]; }

# Two cables, s0 and s1, into the switch in namespace `switch`, and `client` at its third port: 192.0.2.2, and
# 198.51.100.2 in VLAN 10.
cables() {
  ip netns add switch
  ip netns add client
  ip -n switch link add br0 type bridge
  ip -n switch link set br0 up
  for port in s0 s1; do
    ip link add $port type veth peer name $port netns switch
    ip -n switch link set $port up
  done
  ip link add eth0 netns client type veth peer name client netns switch
  ip -n switch link set client master br0 up
  ip -n client addr add 192.0.2.2/24 dev eth0
  ip -n client link set eth0 up
  ip -n client link add link eth0 name eth0.10 type vlan id 10
  ip -n client addr add 198.51.100.2/24 dev eth0.10
  ip -n client link set eth0.10 up
}

# bond [OPTIONS OF IP LINK]: bond0 of both cables, each a port of the switch, with 192.0.2.1.
bond() {
  cables
  for port in s0 s1; do ip -n switch link set $port master br0; done
  join_bond "$@"
}

# Makes bond0 of s0 and s1.
join_bond() {
  ip link add bond0 type bond "$@"
  ip link set s0 master bond0
  ip link set s1 master bond0
  ip link set bond0 up
  ip addr add 192.0.2.1/24 dev bond0
  within 10 has_carrier bond0
}

# vlan: VLAN 10 over bond0, with 198.51.100.1.
vlan() {
  ip link add link bond0 name bond0.10 type vlan id 10
  ip link set bond0.10 up
  ip addr add 198.51.100.1/24 dev bond0.10
  within 10 has_carrier bond0.10
}

# Pulls a cable or plugs it in, at the switch, so that here only the carrier changes.
pull() { ip -n switch link set "$1" down; }
plug() { ip -n switch link set "$1" up; }

active_is() { [ "$(cat /sys/class/net/bond0/bonding/active_slave)" = "$1" ]; }
ports_up() { [ "$(grep -A 1 '^Slave Interface' /proc/net/bonding/bond0 | grep -c 'MII Status: up')" = "$1" ]; }

# heard NAMESPACE INTERFACE FILTER: a packet that the filter takes arrives within 5 seconds.
heard() { timeout 5 /usr/bin/ip netns exec "$1" tcpdump -Z root -i "$2" -n -c 1 -Q in "$3"; }

# The client reaches an address.
reaches() { ip netns exec client ping -c 1 -W 1 "$1"; }

# The hardware address that the client knows for an address.
known() { ip -n client neigh show "$1" | awk '{ for (i = 1; i < NF; i++) if ($i == "lladdr") print $(i + 1) }'; }

client_knows() { reaches "$1" && [ "$(known "$1")" = "$2" ]; }

# Through which port the switch sends to a hardware address.
port_to() { ip netns exec switch bridge fdb show br br0 | awk -v mac="$1" '$1 == mac && !/permanent/ { print $3 }' | head -n 1; }

# attrd: a stand-in for the program that gives attributes to Pacemaker.
attrd() {
  mkdir -p /tmp/bin /tmp/attributes
  cat >/tmp/bin/attrd_updater <<'END'
#!/bin/sh -eu
delete=
while [ $# -gt 0 ]; do
  case $1 in
    -n) name=$2; shift ;;
    -v | -B) value=$2; shift ;;
    -d) shift ;;
    -D) delete=yes ;;
  esac
  shift
done
if [ "$delete" ]; then rm -f "/tmp/attributes/$name"; else echo "$value" >"/tmp/attributes/$name"; fi
END
  chmod +x /tmp/bin/attrd_updater
}

attribute() { cat "/tmp/attributes/$1" 2>/dev/null || echo none; }

# worth VALUE ATTRIBUTE AGENT PARAMETERS...: a monitor is 0 and gives the attribute this value.
worth() {
  worth=$1 attribute=$2
  shift 2
  ocf 0 "$1" monitor $2
  same "$attribute" "$(attribute "$attribute")" "$worth"
}

. "/cases/$1.sh"
