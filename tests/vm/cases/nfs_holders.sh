# Who uses it is known by the kernel's text, since NFS asks its server even for a descriptor that opens nothing.
. /nfs.sh
nfs_server
mkdir /tmp/export/dir "${point}_too"
cp /bin/busybox /tmp/export/sleep
echo text >/tmp/export/file
filesystem 0 start
(cd $point/dir && exec sleep 1000) & inside=$!
sh -c "exec 5<$point/file; exec sleep 1000" & reader=$!
$point/sleep 1000 & program=$!
(cd "${point}_too" && exec sleep 1000) & stranger=$!
sleep 1
for holder in $inside $reader $program; do
  cut_off
  at_most 10 filesystem 1 stop force_unmount=safe CRM_meta_timeout=8000
  because "$holder ("
  comes_back
  kill -KILL $holder
  within 20 is_dead $holder
done

(cd $point/dir && exec sleep 1000) & inside=$!
sh -c "exec 5<$point/file; trap '' TERM; while :; do sleep 1; done" & reader=$!
$point/sleep 1000 & program=$!
sleep 1
at_most 12 filesystem 0 stop CRM_meta_timeout=12000
for holder in $inside $reader $program; do
  is_dead $holder || fail "$holder is left: $(state_of $holder)"
done
same "the stranger" "$(state_of $stranger)" S
same "the mount after stop" "$(mounted_at $point)" ""
