# Nobody uses it, and its server is gone: umount(2) would wait for it for minutes.
. /nfs.sh
nfs_server
filesystem 0 start
ls $point
cut_off
at_most 12 filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""
same "processes that are left" "$(helpers)" 0
filesystem 7 monitor
filesystem 0 stop

comes_back
filesystem 0 start
filesystem 0 monitor
echo written >$point/file
filesystem 0 stop
same "what the server has" "$(cat /tmp/export/file)" written
same "the mount after stop" "$(mounted_at $point)" ""

# With fast_stop it has six seconds.
filesystem 0 start
cut_off
at_most 8 filesystem 0 stop fast_stop=yes CRM_meta_timeout=60000
same "the mount after stop" "$(mounted_at $point)" ""
