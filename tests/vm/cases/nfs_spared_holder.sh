# Who may not be signalled is named, and nothing that he wrote is taken from him: the server has it when it is back.
. /nfs.sh
nfs_server
filesystem 0 start
writer $point/file
within 10 hangs $writer
for policy in safe false; do
  at_most 12 filesystem 1 stop force_unmount=$policy
  because "cannot unmount $point" "$writer (" "has open $point/file" "force_unmount=true"
  is_mounted || fail "it is unmounted"
  hangs $writer || fail "the writer was woken"
done
comes_back
within 50 has_size /tmp/export/file 8000000
kill -KILL $writer
filesystem 0 stop force_unmount=safe
same "the mount after stop" "$(mounted_at $point)" ""
