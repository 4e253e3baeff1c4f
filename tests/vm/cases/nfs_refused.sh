# A start that fails gives the server's reason, or that there was no answer, and leaves nothing.
. /nfs.sh
nfs_server
filesystem 1 start device=$server:/nowhere options=vers=4.2
because "mount.nfs" "No such file or directory"
same "the mount" "$(mounted_at $point)" ""
[ ! -e $point ] || fail "the directory is left"

# Its host answers, and says that there is no such service.
in_server rpc.nfsd 0
at_most 10 filesystem 1 start options=vers=4.2 CRM_meta_timeout=8000
because "mount.nfs" "Connection refused"
same "the mount" "$(mounted_at $point)" ""
[ ! -e $point ] || fail "the directory is left"

cut_off
at_most 10 filesystem 1 start CRM_meta_timeout=8000
because "gave up waiting for mount.nfs $export"
same "the mount" "$(mounted_at $point)" ""
[ ! -e $point ] || fail "the directory is left"
same "processes that are left" "$(ps -o args | grep '[m]ount.nfs' || true)" ""
filesystem 7 monitor
filesystem 0 stop
