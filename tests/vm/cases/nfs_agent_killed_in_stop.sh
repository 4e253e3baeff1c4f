# Stop is killed while its process hangs in the kernel. The mount is out of the table then, but not at its end.
. /nfs.sh
nfs_server
filesystem 0 start
ls $point
cut_off
env -i OCF_ROOT=/usr/lib/ocf OCF_RA_VERSION_MAJOR=1 OCF_RA_VERSION_MINOR=1 OCF_RESOURCE_INSTANCE=test \
  OCF_RESKEY_device=$export OCF_RESKEY_directory=$point OCF_RESKEY_fstype=nfs OCF_RESKEY_CRM_meta_timeout=30000 \
  /agents/Filesystem stop 2>/dev/null & stop=$!
within 10 is_unmounted
within 10 helpers_are 1
kill -KILL $stop
wait $stop || true
same "processes that are left" "$(helpers)" 1
# It is not stopped yet, and nobody says that it is.
at_most 4 filesystem 1 monitor CRM_meta_timeout=2000
because "an earlier unmount of"
at_most 4 filesystem 1 stop CRM_meta_timeout=2000
because "an earlier unmount of"
at_most 4 filesystem 1 start CRM_meta_timeout=2000
because "an earlier unmount of"
same "processes that are left" "$(helpers)" 1
# It gives up by itself, without its agent and without its server.
at_most 30 filesystem 0 stop CRM_meta_timeout=60000
same "processes that are left" "$(helpers)" 0
filesystem 7 monitor
comes_back
filesystem 0 start
filesystem 0 stop
