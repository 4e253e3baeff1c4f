#!/bin/busybox sh
# The guest's first process: makes it usable, then runs the cases whose names come over the second serial line. What
# it says itself begins with the character 1, everything else is a case's output.
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
while read -r module; do
  case $module in
    bonding) insmod /modules/bonding.ko max_bonds=0 ;;
    dummy) insmod /modules/dummy.ko numdummies=0 ;;
    *) insmod "/modules/$module.ko" ;;
  esac || echo "no module $module"
done </modules/boot
stty -F /dev/ttyS1 raw -echo 115200
exec </dev/ttyS1 >/dev/ttyS1 2>&1
# By which a case gets at the machine's card.
touch /machine
mount --bind /proc/self/ns/net /machine
printf '\001ready\n'
while read -r name; do
  # What a case leaves behind goes with its namespaces: links, files, processes.
  unshare -n -m -p -f --mount-proc sh -eu /lib.sh "$name" </dev/null
  printf '\n\001end %s\n' $?
done
poweroff -f
