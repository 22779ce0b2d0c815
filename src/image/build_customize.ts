/**
 * What `rum image build` changes in a fresh Debian tree, as the shell script that mmdebstrap runs
 * with the tree's path as `$1`. Each block says what it buys; figures in docs/decisions/image-build.md.
 *
 * Configuration goes into drop-in files only, so that a later upgrade inside a machine meets the
 * distribution's own files unchanged and asks nothing.
 */

import { BOOT_UNIT, BOOT_UNIT_NAME } from "../cloudinit/boot_script.ts";

/** The kernel's symlinks in / are kept up to date by Debian's kernel packages: upgrades just work. */
export const GRUB_CONFIG = `# written by rum image build
set timeout=0
linux /vmlinuz root=LABEL=root ro console=tty0 console=ttyS0,115200 net.ifnames=1 quiet
initrd /initrd.img
boot
`;

/**
 * The modules of cloud-init that a seed needs. Each one left out is Python that is not imported
 * four times: no grub-dpkg, locale, key printing, apt set-up, ntp.
 */
const CLOUD_CONFIG = `# written by rum image build
datasource_list: [NoCloud]
# one key instead of three: ten seconds of a first boot under emulation
ssh_genkeytypes: [ed25519]
no_ssh_fingerprints: true
ssh: {emit_keys_to_console: false}
apt: {preserve_sources_list: true}
cloud_init_modules: [seed_random, bootcmd, write_files, growpart, resizefs, set_hostname, update_hostname, update_etc_hosts, users_groups, ssh]
cloud_config_modules: [set_passwords, runcmd]
cloud_final_modules: [package_update_upgrade_install, scripts_per_once, scripts_user, final_message, power_state_change]
`;

/** A machine without any network must not wait two minutes for one; with several, one will do. */
const WAIT_ONLINE = `[Service]
ExecStart=
ExecStart=/lib/systemd/systemd-networkd-wait-online --any --timeout=20
`;

/** A small initrd: what finds the disk. ext4 is in Debian's cloud kernel; naming it does no harm. */
const INITRD_MODULES = [
  ...["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod", "virtio_console", "virtio_rng"],
  "ext4",
].join("\n");

/** Loaded when the device is there; a panic the host hears of, logins and ACPI over the console. */
const LOAD_MODULES = ["pvpanic_pci", "pvpanic_mmio"].join("\n");

const GRUB_MODULES = "biosdisk part_msdos ext2 linux normal boot echo ls cat test search";

function write(path: string, text: string): string {
  return `mkdir -p "$R${path.slice(0, path.lastIndexOf("/"))}"\n` +
    `cat > "$R${path}" <<'RUM_END'\n${text.endsWith("\n") ? text : text + "\n"}RUM_END\n`;
}

export const CUSTOMIZE = `set -eu
R="$1"
${write("/etc/cloud/cloud.cfg.d/90_rum.cfg", CLOUD_CONFIG)}
${write("/etc/fstab", "LABEL=root / ext4 defaults,errors=remount-ro 0 1")}
${write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback")}
${write("/etc/systemd/system/systemd-networkd-wait-online.service.d/rum.conf", WAIT_ONLINE)}
${write("/etc/initramfs-tools/conf.d/rum", "MODULES=list\nCOMPRESS=zstd\nFSTYPE=ext4\nRESUME=none")}
${write("/etc/modules-load.d/rum.conf", LOAD_MODULES)}
${write("/boot/grub/grub.cfg", GRUB_CONFIG)}
${write(`/etc/systemd/system/${BOOT_UNIT_NAME}`, BOOT_UNIT)}
cat >> "$R/etc/initramfs-tools/modules" <<'RUM_END'
${INITRD_MODULES}
RUM_END
# networkd is not enabled by a bootstrap, and a masked resolved would mean no DNS
chroot "$R" systemctl enable systemd-networkd systemd-resolved
# a machine of rum has its agent before Python has started; any other boots as if this were not there
chroot "$R" systemctl enable ${BOOT_UNIT_NAME}
# nothing runs by the clock in a machine that may live for minutes
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service \\
  fstrim.timer dpkg-db-backup.timer; do chroot "$R" systemctl mask "$unit"; done
chroot "$R" update-initramfs -u
# the boot image is made in here, so that the host needs no boot loader; then GRUB leaves
chroot "$R" grub-mkimage -O i386-pc -o /boot/grub/core.img -p '(,msdos1)/boot/grub' ${GRUB_MODULES}
cp "$R/usr/lib/grub/i386-pc/boot.img" "$R/boot/grub/boot.img"
chroot "$R" env DEBIAN_FRONTEND=noninteractive apt-get -y purge --autoremove grub-pc-bin grub-common
test -s "$R/boot/grub/core.img" && test -e "$R/vmlinuz" && test -e "$R/initrd.img"
# nobody's keys, nobody's id
rm -f "$R"/etc/ssh/ssh_host_* "$R"/etc/apt/apt.conf.d/99mmdebstrap "$R"/etc/dpkg/dpkg.cfg.d/99mmdebstrap
rm -f "$R/vmlinuz.old" "$R/initrd.img.old"
rm -f "$R/var/lib/dbus/machine-id" "$R/var/lib/systemd/random-seed"
`;
