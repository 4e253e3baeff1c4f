# Level 0 asks the kernel and no server: it answers at once, even if that is gone, and sends nothing while it is there.
. /nfs.sh
nfs_server
# Without a cache whatever looks into it asks the server.
filesystem 0 start options=noac
sent() { sed -n "/ mounted on ${point//\//\\/} /,/^device/p" /proc/self/mountstats | awk '/xprt:/ { print $8 }'; }
ls $point
before=$(sent)
ls $point
[ "$(sent)" -gt "$before" ] || fail "a look asks the server nothing"
before=$(sent)
filesystem 0 monitor
filesystem 0 monitor
same "questions to the server" "$(sent)" "$before"

cut_off
at_most 2 filesystem 0 monitor
ls $point & look=$!
within 5 hangs $look
at_most 2 filesystem 0 monitor
at_most 2 filesystem 0 monitor
same "processes that are left" "$(helpers)" 0
comes_back
wait $look
filesystem 0 monitor
filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""
