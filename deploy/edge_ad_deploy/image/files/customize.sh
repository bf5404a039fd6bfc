#!/bin/sh
# The last step of mmdebstrap: a device without passwords, logins and identities of its own. $1: the root.
set -eu
root="$1"

chroot "$root" passwd --quiet --lock root
chroot "$root" systemctl --quiet enable edge-ad-grow edge-ad-provision edge-ad-health systemd-networkd chrony
chroot "$root" systemctl --quiet mask getty.target getty@.service serial-getty@.service console-getty.service \
  autovt@.service systemd-firstboot.service systemd-networkd-wait-online.service systemd-repart.service \
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
  systemd-machine-id-commit.service systemd-timesyncd.service grub-common.service grub-initrd-fallback.service
chroot "$root" systemctl --quiet set-default multi-user.target

rm -f "$root/etc/machine-id" "$root/var/lib/dbus/machine-id" "$root/etc/hostname"
: >"$root/etc/machine-id"
: >"$root/etc/hostname"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
: >"$root/etc/resolv.conf"
cp "$root/usr/lib/edge-ad/chrony.conf" "$root/etc/chrony/chrony.conf"
# The builder's mirror is nobody else's business.
rm -rf "$root"/etc/apt/sources.list.d/* "$root"/etc/apt/apt.conf.d/99mmdebstrap
echo "deb http://deb.debian.org/debian bookworm main" >"$root/etc/apt/sources.list"

mkdir -p "$root/data" "$root/boot/efi"
# GRUB and the updates find the kernel under one name.
ln -sf "boot/$(basename "$root"/boot/vmlinuz-*)" "$root/vmlinuz"
ln -sf "boot/$(basename "$root"/boot/initrd.img-*)" "$root/initrd.img"
rm -f "$root/vmlinuz.old" "$root/initrd.img.old"
# The clock never falls behind the day on which the image was made.
touch ${SOURCE_DATE_EPOCH:+--date="@$SOURCE_DATE_EPOCH"} "$root/usr/lib/clock-epoch"
