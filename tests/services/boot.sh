#!/bin/bash
# Boots systemd as process 1 of namespaces of its own, over a copy of this root: boot.sh DIRECTORY. Its number is then in
# DIRECTORY/unshare, as that of the parent. Ends with it, or when it is told to.
set -eu
directory=$1
mkdir -p "$directory"/{upper,root,cgroup}
mount --make-rprivate /
mount -t cgroup2 cgroup2 "$directory/cgroup"
group=$directory/cgroup/ocfbox-test-$$
mkdir "$group"

inside='
set -eu
cd "$0"
mount -t tmpfs tmpfs upper
mkdir upper/upper upper/work
mount -t overlay overlay -o lowerdir=/,upperdir="$0/upper/upper",workdir="$0/upper/work" root
cd root
mount -t proc proc proc
mount -t sysfs sysfs sys 2>/dev/null || mount --rbind /sys sys
umount -R sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 sys/fs/cgroup
for place in run tmp dev; do mount -t tmpfs tmpfs "$place"; done
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mkdir dev/pts dev/shm
mount -t devpts devpts dev/pts
ln -s /proc/self/fd dev/fd
ip link set lo up
pivot_root . mnt
umount -l /mnt
# For systemd the whole tree is to be shared.
mount --make-rshared /
exec env -i container=ocfbox PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd \
  --log-target=console --show-status=no systemd.unit=basic.target'

(
  echo "$BASHPID" >"$group/cgroup.procs"
  exec unshare --mount --pid --net --cgroup --uts --ipc --fork --kill-child --mount-proc \
    bash -c "$inside" "$directory"
) &
unshare=$!
trap 'kill -KILL "$unshare" $(cat "/proc/$unshare/task/$unshare/children") 2>/dev/null' TERM
echo "$unshare" >"$directory/unshare.new"
mv "$directory/unshare.new" "$directory/unshare"
wait "$unshare" || true
wait "$unshare" || true
# The kernel takes a moment for the last of them.
for _ in {1..100}; do
  find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  [[ -d $group ]] || break
  sleep 0.05
done
