/**
 * What rum needs of a host, what it finds, and the remedy for each difference: `rum doctor` as data.
 * A check never throws; what it could not find out is a finding too.
 *
 *   needed    without it no machine starts           → exit 12 when missing
 *   useful    rum does without, slower or with less  → told, and installed by --fix where it is a package
 */
import { BUILD_PACKAGES, BUILD_TOOLS } from "../image/build_recipe.ts";
import { formatSize } from "../base/units.ts";
import { chooseDomainType } from "../plan/kvm.ts";
import type { HostEnv, RumPaths } from "../plan/paths.ts";
import {
  cpuFlags,
  deviceOpens,
  exists,
  findVirtiofsd,
  freeDiskBytes,
  freeMemoryBytes,
  hostArch,
} from "./host_devices.ts";
import { openHypervisor } from "./open.ts";
import { probeSystem } from "./system_probe.ts";

export interface Check {
  /** Stable, for programs. */
  readonly id: string;
  readonly what: string;
  readonly need: "needed" | "useful";
  readonly ok: boolean;
  readonly found: string;
  /** A command, or a sentence; absent when it is fine. */
  readonly remedy?: string;
  /** Debian packages that mend it. */
  readonly packages?: readonly string[];
  /** Commands (as root) that mend it, after the packages. */
  readonly commands?: readonly (readonly string[])[];
}

export interface CheckedHost {
  readonly env: HostEnv;
  readonly paths: RumPaths;
  /** Name of the user, for linger; from the environment. */
  readonly user?: string;
}

const EMULATOR_PACKAGE = { x86_64: "qemu-system-x86", aarch64: "qemu-system-arm" } as const;
/** A stock image, its overlay and a seed. */
const DISK_WANTED = 4 * 2 ** 30;
const MEMORY_WANTED = 1.5 * 2 ** 30;
const PROGRAM_FOLDERS = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
];
const DRIVER = "libvirt/connection-driver/libvirt_driver_qemu.so";
const DRIVER_FOLDERS = [
  "/usr/lib64",
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib",
];

export async function checkHost(host: CheckedHost): Promise<Check[]> {
  const root = host.env.uid === 0;
  return [
    await library(),
    await program("emulator", "QEMU", `qemu-system-${hostArch()}`, EMULATOR_PACKAGE[hostArch()]),
    await driver(),
    ...(root
      ? [await qemuUser(), await systemDaemon()]
      : [await sessionDaemon(), await linger(host)]),
    await kvm(),
    await vsock(),
    await virtiofs(root),
    await imageTools(),
    { ...await program("ssh", "OpenSSH client", "ssh", "openssh-client"), need: "useful" },
    await disk(host.paths),
    await memory(),
  ];
}

export function missingNeeds(checks: readonly Check[]): Check[] {
  return checks.filter((check) => check.need === "needed" && !check.ok);
}

async function library(): Promise<Check> {
  const base = { id: "library", what: "libvirt library", need: "needed" } as const;
  try {
    await using test = await openHypervisor({
      uri: "test:///default",
      kind: "test",
      reason: "asking for the version",
    });
    return { ...base, ok: true, found: (await test.versions()).library };
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return { ...base, ok: false, found, ...install("libvirt0") };
  }
}

async function program(id: string, what: string, name: string, from: string): Promise<Check> {
  const path = await findProgram(name);
  const base = { id, what, need: "needed" } as const;
  if (path !== undefined) return { ...base, ok: true, found: path };
  return { ...base, ok: false, found: `no ${name}`, ...install(from) };
}

async function driver(): Promise<Check> {
  const base = { id: "driver", what: "libvirt's QEMU driver", need: "needed" } as const;
  for (const folder of DRIVER_FOLDERS) {
    const path = `${folder}/${DRIVER}`;
    if (await exists(path)) return { ...base, ok: true, found: path };
  }
  return { ...base, ok: false, found: "not there", ...install("libvirt-daemon-driver-qemu") };
}

/** Debian's libvirt looks its QEMU user up before it reads any setting, and refuses to start without. */
async function qemuUser(): Promise<Check> {
  const base = { id: "qemu_user", what: "libvirt's QEMU user", need: "needed" } as const;
  const users = (await Deno.readTextFile("/etc/passwd")).split("\n").map((line) =>
    line.split(":")[0]
  );
  const found = users.find((user) => user === "libvirt-qemu" || user === "qemu");
  if (found !== undefined) return { ...base, ok: true, found };
  return {
    ...base,
    ok: false,
    found: "no user libvirt-qemu",
    remedy: "rum doctor --fix",
    commands: [
      ["groupadd", "--system", "--force", "kvm"],
      ["groupadd", "--system", "--force", "libvirt-qemu"],
      [
        "useradd",
        "--system",
        "--no-create-home",
        "--home-dir=/var/lib/libvirt",
        "--gid=kvm",
        "--groups=libvirt-qemu",
        "--shell=/usr/sbin/nologin",
        "libvirt-qemu",
      ],
    ],
  };
}

async function systemDaemon(): Promise<Check> {
  const base = { id: "daemon", what: "libvirt system daemon", need: "useful" } as const;
  try {
    const { answers, detail } = await probeSystem();
    if (answers) return { ...base, ok: true, found: "answers" };
    // Nothing to mend: rum brings the driver along; only its networks need the daemon.
    return { ...base, ok: true, found: `${detail}; rum runs the driver itself` };
  } catch {
    return {
      ...base,
      ok: false,
      found: "cannot be asked without the library",
      remedy: "rum doctor --fix",
    };
  }
}

async function sessionDaemon(): Promise<Check> {
  const base = { id: "daemon", what: "libvirt session daemon", need: "needed" } as const;
  const path = await findProgram("virtqemud") ?? await findProgram("libvirtd");
  if (path !== undefined) return { ...base, ok: true, found: path };
  return {
    ...base,
    ok: false,
    found: "neither virtqemud nor libvirtd",
    ...install("libvirt-daemon"),
  };
}

/** Without it systemd ends a user's processes, machines included, at the last logout. */
async function linger({ user }: CheckedHost): Promise<Check> {
  const base = { id: "linger", what: "machines outlive the logout", need: "useful" } as const;
  if (!await exists("/run/systemd/system")) return { ...base, ok: true, found: "no systemd here" };
  if (user === undefined) return { ...base, ok: true, found: "the user's name is not known" };
  if (await exists(`/var/lib/systemd/linger/${user}`)) {
    return { ...base, ok: true, found: "linger is on" };
  }
  return {
    ...base,
    ok: false,
    found: "linger is off",
    remedy: `loginctl enable-linger ${user}`,
    commands: [["loginctl", "enable-linger", user]],
  };
}

async function kvm(): Promise<Check> {
  const device = await deviceOpens("/dev/kvm");
  const { type, reason } = chooseDomainType({
    arch: hostArch(),
    wanted: "auto",
    device,
    capabilitiesListKvm: true,
    cpuFlags: await cpuFlags(),
  });
  const base = {
    id: "kvm",
    what: "KVM",
    need: "useful",
    ok: type === "kvm",
    found: reason,
  } as const;
  if (base.ok) return base;
  return {
    ...base,
    remedy: device.detail === "permission denied"
      ? "usermod -aG kvm $USER, then log in again"
      : "turn virtualisation on in the firmware, or nested virtualisation on the host above",
  };
}

async function vsock(): Promise<Check> {
  const { opens, detail } = await deviceOpens("/dev/vhost-vsock");
  const base = { id: "vsock", what: "vsock", need: "useful", ok: opens } as const;
  if (opens) return { ...base, found: "/dev/vhost-vsock opens" };
  const found = `/dev/vhost-vsock: ${detail}; the agent uses virtio-serial`;
  return { ...base, found, remedy: "modprobe vhost_vsock" };
}

async function virtiofs(root: boolean): Promise<Check> {
  const path = await findVirtiofsd();
  const base = { id: "virtiofs", what: "virtiofsd", need: "useful" } as const;
  if (path === undefined) {
    return {
      ...base,
      ok: false,
      found: "not installed; mounts fall back",
      ...install("virtiofsd"),
    };
  }
  const caution = root ? "; as root, a guest's root can leave setuid files in a shared folder" : "";
  return { ...base, ok: true, found: path + caution };
}

async function imageTools(): Promise<Check> {
  const missing: string[] = [];
  for (const tool of Object.keys(BUILD_TOOLS)) {
    if (await findProgram(tool) === undefined) missing.push(tool);
  }
  const base = { id: "image_tools", what: "tools of `rum image build`", need: "useful" } as const;
  if (missing.length === 0) return { ...base, ok: true, found: "all there" };
  return { ...base, ok: false, found: `no ${missing.join(", ")}`, ...install(...BUILD_PACKAGES) };
}

async function disk({ data }: RumPaths): Promise<Check> {
  const free = await freeDiskBytes(data);
  const base = { id: "disk", what: "free disk space", need: "needed" } as const;
  const found = `${formatSize(free)} for ${data}`;
  if (free >= DISK_WANTED) return { ...base, ok: true, found };
  return {
    ...base,
    ok: false,
    found,
    remedy: `wanted ${formatSize(DISK_WANTED)}: rum image prune`,
  };
}

async function memory(): Promise<Check> {
  const free = await freeMemoryBytes();
  const base = {
    id: "memory",
    what: "free memory",
    need: "useful",
    found: formatSize(free),
  } as const;
  if (free >= MEMORY_WANTED) return { ...base, ok: true };
  return { ...base, ok: false, remedy: "give machines less by [resources] memory" };
}

async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of PROGRAM_FOLDERS) {
    if (await exists(`${folder}/${name}`)) return `${folder}/${name}`;
  }
  return undefined;
}

function install(...packages: string[]): { remedy: string; packages: readonly string[] } {
  return { remedy: `apt-get install ${packages.join(" ")}`, packages };
}
