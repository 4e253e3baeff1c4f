# A soft mount gives up by itself, in a stop that has the time: what waits for the server then fails.
. /nfs.sh
nfs_server
filesystem 0 start options=soft,timeo=20,retrans=1
writer $point/file
within 10 hangs $writer
at_most 2 filesystem 0 monitor
at_most 42 filesystem 0 stop CRM_meta_timeout=40000
same "the mount after stop" "$(mounted_at $point)" ""
if hangs $writer; then fail "the writer hangs"; fi
same "processes that are left" "$(helpers)" 0

comes_back
filesystem 0 start options=soft,timeo=20,retrans=1
filesystem 0 monitor
filesystem 0 stop
same "the mount after stop" "$(mounted_at $point)" ""
