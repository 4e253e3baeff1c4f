# A server of NFS in a network namespace of its own, for cases that begin with `. /nfs.sh`. Between it and the client,
# which is the case's own namespace, is a switch: a server that is cut off is silent, and no card here loses its carrier.

server=192.0.2.9
export=$server:/tmp/export
point=/tmp/point
in_server() { nsenter --net=/run/netns/server "$@"; }

# nfs_server [3]: serves /tmp/export by NFSv4, or by NFSv3 with all the other servers that this needs.
nfs_server() {
  while read -r module; do
    grep -q "^$module " /proc/modules || insmod "/modules/$module.ko" || fail "no module $module"
  done </modules/nfs
  ip netns add switch
  ip netns add server
  ip -n switch link add br0 type bridge
  ip -n switch link set br0 up
  ip link add eth0 type veth peer name here netns switch
  ip -n switch link add there type veth peer name eth0 netns server
  for port in here there; do ip -n switch link set $port master br0 up; done
  ip addr add 192.0.2.1/24 dev eth0
  ip link set eth0 up
  ip -n server addr add $server/24 dev eth0
  ip -n server link set eth0 up
  ip -n server link set lo up
  mkdir /tmp/export
  mount -t tmpfs tmpfs /tmp/export
  mount -t tmpfs tmpfs /var/lib/nfs
  mkdir /var/lib/nfs/rpc_pipefs /var/lib/nfs/nfsdcld
  touch /etc/exports /var/lib/nfs/etab
  # They are the server's, by the namespace of whoever mounts them.
  in_server mount -t nfsd nfsd /proc/fs/nfsd
  in_server mount -t rpc_pipefs rpc_pipefs /var/lib/nfs/rpc_pipefs
  trap nfs_end EXIT
  in_server exportfs -o rw,no_root_squash,no_subtree_check,fsid=1 "*:/tmp/export"
  if [ "${1:-4}" = 3 ]; then
    mkdir -p /run/rpcbind
    in_server rpcbind
    in_server rpc.mountd --no-nfs-version 4
    in_server rpc.nfsd --no-nfs-version 4 --grace-time 10 --lease-time 10 2
  else
    # It tells that no client had anything open before, so that there is no grace period.
    in_server nfsdcld
    in_server rpc.mountd --no-nfs-version 2 --no-nfs-version 3
    in_server rpc.nfsd --no-nfs-version 3 --grace-time 10 --lease-time 10 2
  fi
  within 10 reaches_server
}

reaches_server() { ping -c 1 -W 1 $server; }

# Pulls the server's cable, or plugs it in again.
cut_off() {
  ip -n switch link set there nomaster
  milliseconds=12000
}
# The server may remember what an earlier mount had open; then the kernel asks it ten times, a second each, to forget its client.
comes_back() {
  ip -n switch link set there master br0
  milliseconds=40000
}

# The kernel's server outlives its namespaces otherwise, and who waits for it this case.
nfs_end() {
  comes_back
  in_server rpc.nfsd 0
  umount -f $point 2>/dev/null || true
}

# Filesystem CODE ACTION [NAME=VALUE...]: of the export at the mount point, with a timeout of 12 s.
milliseconds=12000
filesystem() {
  code=$1 action=$2
  shift 2
  ocf "$code" Filesystem "$action" device=$export directory=$point fstype=nfs CRM_meta_timeout=$milliseconds "$@"
}

# What is mounted at a place, as "type source", the last on top.
mounted_at() {
  awk -v point="$1" '$5 == point { for (i = 7; $i != "-"; i++); print $(i + 1), $(i + 2) }' /proc/self/mountinfo |
    paste -sd, -
}
is_mounted() { [ "$(mounted_at "$point")" = "nfs4 $export" ]; }
is_unmounted() { [ -z "$(mounted_at "$point")" ]; }

# The kernel's letter for what a process is doing; nothing if there is none, or only its parent does not know yet.
state_of() { sed -n 's/^State:[^A-Z]*\([A-Y]\).*/\1/p' "/proc/$1/status" 2>/dev/null; }
hangs() { [ "$(state_of "$1")" = D ]; }
is_dead() { [ -z "$(state_of "$1")" ]; }
# Processes of ours that unmount.
helpers() { ps -o args | grep -c '[o]cfbox unmount ' || true; }
helpers_are() { [ "$(helpers)" = "$1" ]; }
has_size() { [ "$(stat -c %s "$1")" = "$2" ]; }

# at_most SECONDS COMMAND...: one that does not take longer.
at_most() {
  limit=$1 begin=$(cut -d. -f1 /proc/uptime)
  shift
  "$@"
  took=$(($(cut -d. -f1 /proc/uptime) - begin))
  [ $took -le "$limit" ] || fail "$* took $took s"
}

# writer FILE: process $writer, which waits for the server to have what it wrote, as whoever closes a file of NFS does; and
# the server is cut off.
writer() {
  sh -c "exec 5>'$1'; echo >/tmp/writes; until [ -e /tmp/cut ]; do usleep 50000; done
    printf %8000000d 1 >&5; exec 5>&-; while :; do sleep 1000; done" &
  writer=$!
  within 10 [ -e /tmp/writes ]
  cut_off
  touch /tmp/cut
}
