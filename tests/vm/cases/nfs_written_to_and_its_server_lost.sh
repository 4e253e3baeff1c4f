# A process waits for the server in a sleep that not even SIGKILL ends: only the kernel's force does.
. /nfs.sh
nfs_server
filesystem 0 start
sh -c "cd $point; exec sleep 1000" & idler=$!
sleep 1000 & stranger=$!
writer $point/file
within 10 hangs $writer
kill -KILL $writer
sleep 1
hangs $writer || fail "a signal ends it"
filesystem 0 monitor
at_most 14 filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""
is_dead $writer || fail "the writer is left: $(state_of $writer)"
is_dead $idler || fail "the idler is left: $(state_of $idler)"
same "a stranger" "$(state_of $stranger)" S
same "processes that are left" "$(helpers)" 0
filesystem 7 monitor

comes_back
filesystem 0 start
filesystem 0 monitor
ls $point
filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""
