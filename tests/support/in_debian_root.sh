#!/bin/bash
# in_debian_root.sh ROOT ARCHITECTURE: runs the commands of standard input in this root, as root, without any network.
#
# For arm64 the emulator is registered in a user namespace of its own (Linux 6.7 or later), so that nothing of the machine
# changes. All user ids are mapped to themselves: the root is an ordinary Debian.
set -euo pipefail
root=$1 architecture=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/commands"
mkfifo "$work/gate"
cat >"$work/inside" <<'INSIDE'
set -e
root=$1 architecture=$2 work=$3
if [ "$architecture" = arm64 ]; then
  mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
  head='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  echo ":edge-ad-arm64:M::$head:$mask:$(command -v qemu-aarch64-static):F" >/proc/sys/fs/binfmt_misc/register
fi
mount -t proc none "$root/proc"
exec env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
  CONTAINER=lxc container=lxc chroot "$root" /bin/bash -e <"$work/commands"
INSIDE
# shellcheck disable=SC2016  # the inner shell is to see these
unshare --user --mount --net --pid --fork --kill-child \
  bash -c 'read -r _ <"$3/gate"; exec bash "$3/inside" "$@"' gate "$root" "$architecture" "$work" &
namespaces=$!
while [ "$(readlink /proc/$namespaces/ns/user)" = "$(readlink /proc/self/ns/user)" ]; do sleep 0.05; done
echo "0 0 4294967295" >"/proc/$namespaces/uid_map"
echo "0 0 4294967295" >"/proc/$namespaces/gid_map"
echo go >"$work/gate"
wait "$namespaces"
