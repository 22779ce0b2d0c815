#!/bin/sh
# A guest without a QEMU: what the fake hypervisor runs as a machine, with the machine's XML as the
# last argument. Process ids, mounts and host name of its own, so that the real agent sets up users,
# keys and names in here as it would in a guest, and power-off ends everything below it at once.
#
# The disk is the overlay's file: an id appended to it (readers of qcow2 ignore what follows the last
# cluster) names a folder, so a new overlay is a blank guest and an old one finds its own again.
#
#   fake_guest.sh DENO AGENT XML        outside: own namespaces
#   fake_guest.sh inside …              in them
set -eu
if [ "$1" != inside ]; then
  user=; [ "$(id -u)" = 0 ] || user=-r
  exec unshare $user --pid --mount --uts --fork --kill-child=KILL --mount-proc "$0" inside "$@"
fi
deno=$2 agent=$3 xml=$4
world=${xml%/*}
file() { sed -n "s|.*['\"]\(/[^'\"]*$1\)['\"].*|\1|p" "$xml" | head -n 1; }
overlay=$(file overlay.qcow2) seed=$(file '[.]iso') socket=$(file agent.sock)

id=$(tail -c 48 "$overlay" | sed -n 's/^fake-disk-\([0-9a-f-]*\)$/\1/p')
if [ -z "$id" ]; then
  id=$(cat /proc/sys/kernel/random/uuid)
  printf '\nfake-disk-%s\n' "$id" >> "$overlay"
fi
disk=$world/disks/$id
boot=$(cat /proc/sys/kernel/random/uuid)
if [ ! -d "$disk" ]; then
  mkdir -p "$world/disks" "$disk.new/etc/sudoers.d" "$disk.new/home/rum" "$disk.new/state"
  cd /etc && cp -RL nsswitch.conf login.defs os-release ld.so.cache ssl "$disk.new/etc/" 2>/dev/null || :
  cd /
  echo 'root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
rum:x:1000:1000::/home/rum:/bin/bash' > "$disk.new/etc/passwd"
  echo 'root:x:0:
nogroup:x:65534:
rum:x:1000:' > "$disk.new/etc/group"
  printf 'root:*:1::::::\nrum:*:1::::::\n' > "$disk.new/etc/shadow"
  echo 'nameserver 127.0.0.1' > "$disk.new/etc/resolv.conf"
  printf '127.0.0.1 localhost\n' > "$disk.new/etc/hosts"
  mv "$disk.new" "$disk"
fi
run=$disk/run-$boot
mkdir -p "$run/seed"
rm -rf "$socket"
isoinfo -R -x /token -i "$seed" > "$run/seed/token"
mount --bind "$disk/etc" /etc
mount --bind "$disk/home" /home
echo "$boot $id" >> "$world/boots"
exec "$deno" run --quiet --no-prompt --no-lock -A "$agent" --seed "$run/seed" --state "$disk/state" \
  --run "$run" --link "unix:$socket" --boot-id "$boot" --host-wait 2000 --dry > "$disk/agent.log" 2>&1
