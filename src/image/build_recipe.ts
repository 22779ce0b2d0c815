/**
 * How an image is made from Debian's own packages, as text: which packages, what is changed in the
 * tree, and the arguments of the tools. Pure; `src/store/image_build.ts` runs it.
 *
 * What it is tuned for, and by how much (docs/decisions/image-build.md): a first boot under plain
 * emulation. The same image for everybody: no keys, no machine id, no password; what makes a machine
 * one comes with its seed.
 */
import { RumError } from "../base/errors.ts";
import { nearest } from "../base/typo.ts";
import type { DebianMirror } from "./apt_sources.ts";
import { CUSTOMIZE, GRUB_CONFIG } from "./build_customize.ts";

export interface BuildTarget {
  readonly name: string;
  readonly suite: string;
}

export const BUILD_TARGETS: readonly BuildTarget[] = [
  { name: "debian-12", suite: "bookworm" },
  { name: "debian-13", suite: "trixie" },
];

/** Debian packages that the host needs for a build; `rum doctor` asks for them. */
export const BUILD_PACKAGES: readonly string[] = [
  "mmdebstrap",
  "uidmap",
  "e2fsprogs",
  "qemu-utils",
  "debian-archive-keyring",
];

/** Program → the package of BUILD_PACKAGES that brings it. */
export const BUILD_TOOLS: Readonly<Record<string, string>> = {
  mmdebstrap: "mmdebstrap",
  mke2fs: "e2fsprogs",
  "qemu-img": "qemu-utils",
  tar: "tar",
  unshare: "util-linux",
  setpriv: "util-linux",
};

/** In the image. Nothing is recommended in, so everything that is needed is named. */
const PACKAGES: readonly string[] = [
  // the system, and what ACPI shutdown and logins stand on
  ...["systemd", "systemd-sysv", "udev", "dbus", "libpam-systemd", "kmod", "util-linux", "procps"],
  "linux-image-cloud-amd64",
  "initramfs-tools",
  "zstd",
  // network and names
  ...["systemd-resolved", "iproute2", "netbase", "ca-certificates", "openssh-server"],
  // the seed, growing the disk (without e2fsprogs resize2fs is missing), drives
  ...["cloud-init", "cloud-guest-utils", "fdisk", "e2fsprogs", "xfsprogs", "btrfs-progs"],
  // what people expect of a server
  ...["sudo", "python3", "curl", "less", "rsync"],
  // makes the boot image, then leaves (build_customize.ts)
  "grub-pc-bin",
];

export const DISK_BYTES = 2 * 2 ** 30;
/** Of the file system and of the partition table: fixed, or two builds of one tree would differ. */
export const FILE_SYSTEM_UUID = "72756d00-0000-4000-8000-000000000001";
export const DISK_SIGNATURE = 0x7275_6d01;

/** metadata_csum_seed and orphan_file are newer than the GRUB that has to read /boot. */
export const FILE_SYSTEM_FEATURES = "^metadata_csum_seed,^orphan_file";

export interface BuildRecipe {
  readonly target: BuildTarget;
  readonly mirror: DebianMirror;
  readonly keyring: string;
  /** Everything that decides the tree: same text, same stage. */
  readonly fingerprint: string;
  /** sources.list lines, for the build and for the image. */
  readonly sources: readonly string[];
}

/** @throws {RumError} `image_not_found` when rum cannot build that name */
export function buildTarget(name: string): BuildTarget {
  const found = BUILD_TARGETS.find((target) => target.name === name);
  if (found !== undefined) return found;
  const names = BUILD_TARGETS.map((target) => target.name);
  const near = nearest(name, names);
  throw new RumError(
    "image_not_found",
    `Cannot build an image named "${name}": rum builds ${names.join(" and ")}` +
      (near === undefined ? "" : `; did you mean "${near}"?`),
    { hint: `rum image build ${near ?? names[0]}` },
  );
}

export function buildRecipe(
  target: BuildTarget,
  mirror: DebianMirror,
  keyring: string,
): BuildRecipe {
  const { suite } = target;
  const line = (uri: string, name: string) => `deb [signed-by=${keyring}] ${uri} ${name} main`;
  const sources = [
    line(mirror.archive, suite),
    line(mirror.archive, `${suite}-updates`),
    ...(mirror.security === undefined ? [] : [line(mirror.security, `${suite}-security`)]),
  ];
  const fingerprint = JSON.stringify([target, sources, PACKAGES, CUSTOMIZE, GRUB_CONFIG]);
  return { target, mirror, keyring, sources, fingerprint };
}

export type BootstrapMode = "unshare" | "root";

export function mmdebstrapArguments(
  recipe: BuildRecipe,
  options: { mode: BootstrapMode; output: string; aptOptions?: readonly string[] },
): string[] {
  return [
    `--mode=${options.mode}`,
    "--variant=minbase",
    "--format=tar",
    `--include=${PACKAGES.join(",")}`,
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    ...(options.aptOptions ?? []).map((option) => `--aptopt=${option}`),
    // As text, not as a file: inside the user namespace this user's folders may not be readable.
    `--customize-hook=${CUSTOMIZE}`,
    recipe.target.suite,
    options.output,
    ...recipe.sources,
  ];
}

/** tar → ext4 inside a disk file. Runs as root of a user namespace, or as root. */
export const ASSEMBLE = `set -eu
mkdir root
tar -C root --exclude='./dev/*' --numeric-owner --xattrs --xattrs-include='*' -xpf "$1"
# mmdebstrap removes or restores these after its hooks
ln -sfn ../run/systemd/resolve/stub-resolv.conf root/etc/resolv.conf
rm -f root/etc/hostname
echo localhost > root/etc/hostname
chmod 0644 root/etc/hostname
: > root/etc/machine-id
cp root/boot/grub/boot.img root/boot/grub/core.img .
mke2fs -q -F -t ext4 -L root -m 1 -O "$3" -U "$4" \\
  -E "offset=$5,hash_seed=$4,lazy_itable_init=1,lazy_journal_init=1" -d root "$2" "$6k"
rm -rf root
`;

export function assembleArguments(tar: string, disk: string, partitionStart: number): string[] {
  const kib = Math.floor((DISK_BYTES - partitionStart) / 1024);
  return [
    "-c",
    ASSEMBLE,
    "sh",
    tar,
    disk,
    FILE_SYSTEM_FEATURES,
    FILE_SYSTEM_UUID,
    String(partitionStart),
    String(kib),
  ];
}

/** mmdebstrap's own milestones → how far the bootstrap is, in percent of it. Measured shares. */
const MILESTONES: readonly [RegExp, number][] = [
  [/running apt-get update/, 2],
  [/downloading packages/, 6],
  [/extracting archives/, 22],
  [/installing essential/, 30],
  [/installing remaining/, 42],
  [/running --customize-hook/, 82],
  [/cleaning package lists/, 92],
  [/creating tarball/, 94],
  [/success in/, 100],
];

export function bootstrapPercent(line: string): number | undefined {
  return MILESTONES.find(([pattern]) => pattern.test(line))?.[1];
}
