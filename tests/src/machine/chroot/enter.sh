#!/bin/sh
# enter.sh ROOTFS PLACE: a machine of ROOTFS, as long as somebody holds standard input. What it writes is in memory and gone with
# it, but for PLACE/told and PLACE/log. To be run in mounts and processes of its own.
set -eu
rootfs=$1
place=$2

mount -t tmpfs machine "$place/disk"
mkdir "$place/disk/upper" "$place/disk/work" "$place/disk/root"
root=$place/disk/root
mount -t overlay -o "lowerdir=$rootfs,upperdir=$place/disk/upper,workdir=$place/disk/work" machine "$root"
cp -R "$place/files/." "$root/"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs run "$root/run"
mkdir "$root/run/told"
mount --bind "$place/told" "$root/run/told"
mount --bind "$place/log" "$root/var/log"
# Where this machine itself has firmware to ask, its answers are those of an instance, too.
if [ -d "$root/sys/class/dmi/id" ]; then
  mount --bind "$root/usr/local/share/dmi" "$root/sys/class/dmi/id"
fi
exec chroot "$root" /usr/local/sbin/stages
