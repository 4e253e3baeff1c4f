# NFSv3, which has no sessions: its server is asked nothing at the end, but who writes waits all the same.
. /nfs.sh
nfs_server 3
filesystem 0 start options=vers=3,nolock
same "the mount" "$(mounted_at $point)" "nfs $export"
filesystem 0 monitor
echo written >$point/file
same "what the server has" "$(cat /tmp/export/file)" written
filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""

filesystem 0 start options=vers=3,nolock
writer $point/file
within 10 hangs $writer
at_most 2 filesystem 0 monitor
at_most 14 filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""
is_dead $writer || fail "the writer is left: $(state_of $writer)"

filesystem 1 start options=vers=3,nolock CRM_meta_timeout=4000
same "the mount" "$(mounted_at $point)" ""
comes_back
filesystem 0 start options=vers=3,nolock
filesystem 0 monitor
filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""
