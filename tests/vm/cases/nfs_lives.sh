# What mount.nfs mounts, the kernel and the server know; what stop unmounts, none of both.
. /nfs.sh
nfs_server
filesystem 7 monitor
filesystem 0 stop
filesystem 0 start
same "the mount" "$(mounted_at $point)" "nfs4 $export"
filesystem 0 start
same "the mount" "$(mounted_at $point)" "nfs4 $export"
filesystem 0 monitor
echo written >$point/file
same "what the server has" "$(cat /tmp/export/file)" written
filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""
filesystem 0 stop
filesystem 7 monitor

# Options go to mount.nfs; a mount that somebody made read-only is one that was not asked for.
filesystem 0 start options=ro,vers=4.1,noac
grep " $point ro,.* - nfs4 .*vers=4.1," /proc/self/mountinfo || fail "the options"
filesystem 0 monitor options=ro,vers=4.1
filesystem 1 monitor
because "read-only"
filesystem 0 stop

# Another resource on the same export goes on.
filesystem 0 start
filesystem 0 start directory=/tmp/other
filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""
same "the other mount" "$(mounted_at /tmp/other)" "nfs4 $export"
same "what it shows" "$(cat /tmp/other/file)" written
filesystem 0 stop directory=/tmp/other
same "the other mount after stop" "$(mounted_at /tmp/other)" ""
