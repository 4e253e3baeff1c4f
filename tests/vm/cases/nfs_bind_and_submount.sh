# A bind mount of a directory there, and what is mounted on a directory there.
. /nfs.sh
nfs_server
mkdir /tmp/export/dir
filesystem 0 start
bind="device=$point/dir directory=/tmp/bound fstype=none options=bind"
filesystem 0 start $bind
same "the bind mount" "$(mounted_at /tmp/bound)" "nfs4 $export/dir"
filesystem 0 monitor $bind
mount -t tmpfs tmpfs $point/dir

# Each alone, while the server is there.
filesystem 0 stop $bind
same "the bind mount after stop" "$(mounted_at /tmp/bound)" ""
filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)$(mounted_at $point/dir)" ""

filesystem 0 start
filesystem 0 start $bind
mount -t tmpfs tmpfs $point/dir
cut_off
at_most 2 filesystem 0 monitor
at_most 2 filesystem 0 monitor $bind
at_most 14 filesystem 0 stop $bind
same "the bind mount after stop" "$(mounted_at /tmp/bound)" ""
at_most 14 filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)$(mounted_at $point/dir)" ""
same "processes that are left" "$(helpers)" 0

# The way to what is mounted below leads over the server, unless the client knows the way by heart. Nothing hangs for that, and
# it ends with the server's return.
comes_back
filesystem 0 start options=noac
mount -t tmpfs tmpfs $point/dir
cut_off
at_most 2 filesystem 0 monitor
at_most 14 filesystem 1 stop
because "cannot unmount $point/dir" "the server of $export does not answer"
within 5 helpers_are 0
filesystem 0 monitor
comes_back
filesystem 0 stop CRM_meta_timeout=60000
same "the mount after stop" "$(mounted_at $point)$(mounted_at $point/dir)" ""
