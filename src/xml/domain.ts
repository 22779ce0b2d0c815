/**
 * libvirt's domain XML for one machine (SPEC section 9), built from a plain description.
 *
 * What is decided here, and why:
 * - Metadata element in rum's own namespace: with the UUID it is how rum knows its own domain.
 * - memfd and shared memory always where it can be had: virtiofs may be added later, and memory
 *   backing cannot be changed under a running machine.
 * - Every disk: explicit format all the way down its chain (QEMU never probes), a serial (the guest
 *   finds it whatever letter it has), discard, an iothread, and a policy that pauses on errors, so
 *   that a full host disk stops the guest instead of corrupting its file system.
 * - The seed is a read-only virtio disk: cloud kernels have no AHCI, a SATA cdrom is invisible.
 * - The console is a pty and has no <log> element. A log written by QEMU is bounded only where
 *   virtlogd sits between (not in an embedded or remote hypervisor) and belongs to another user
 *   under the system daemon. rum's daemon reads the pty, keeps a bounded log and serves
 *   `rum console`; while nobody reads, QEMU drops the output and the guest never blocks.
 * - The agent's channel is a socket that QEMU listens on, so that either side may come and go.
 * - A video device without any listener: screenshots work, and nothing is open on the host.
 * - What systemd takes from SMBIOS strings starts the agent before cloud-init does; others do not look there.
 * - on_crash is `preserve` or `destroy`; restarting after a crash is the daemon's, with its back-off.
 */
import { el, renderXml, type XmlElement } from "./builder.ts";

/** Never changes once released: it marks every domain that rum made. */
export const METADATA_NAMESPACE = "urn:rum:machine:1";
export const AGENT_CHANNEL = "org.rum.agent.0";
export const ROOT_SERIAL = "rum-root";
export const SEED_SERIAL = "rum-seed";

export interface DiskSpec {
  readonly path: string;
  readonly format: "qcow2" | "raw";
  /** ≤ 20 bytes. */
  readonly serial: string;
  readonly readonly?: boolean;
  /** What a qcow2 overlay stands on. */
  readonly backing?: { readonly path: string; readonly format: "qcow2" | "raw" };
}

export interface FileSystemShare {
  readonly type: "virtiofs" | "9p";
  readonly source: string;
  readonly tag: string;
  readonly readonly: boolean;
  /** 9p: `passthrough` where QEMU is root, else `squash` (files belong to QEMU's user). */
  readonly access: "passthrough" | "squash";
}

export interface NicSpec {
  readonly kind: "user" | "network";
  readonly mac: string;
  readonly network?: string;
}

export interface DomainSpec {
  readonly type: "kvm" | "qemu";
  readonly name: string;
  readonly uuid: string;
  readonly metadata: {
    readonly id: string;
    readonly version: string;
    readonly configPath: string;
  };
  readonly arch: "x86_64" | "aarch64";
  readonly machineType: string;
  readonly firmware: "bios" | "uefi";
  /** A named model, or one of libvirt's modes; absent: the host's own, all of it under emulation. */
  readonly cpuModel?: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly sharedMemory: boolean;
  /** First the one that boots, then the seed, then drives. */
  readonly disks: readonly DiskSpec[];
  /** Keep libvirt from changing the owner of shared base images (system daemon only). */
  readonly protectBacking: boolean;
  readonly shares: readonly FileSystemShare[];
  readonly nics: readonly NicSpec[];
  /** Absent: libvirt chooses a path (we could not open ours, or it is on another host). */
  readonly agentSocket?: string;
  readonly vsock: boolean;
  /** Strings of the SMBIOS, at least one, each without a line feed. */
  readonly oemStrings: readonly string[];
  readonly onCrash: "destroy" | "preserve";
}

const TRANSLATION_CACHE_MIB = 256;
const STATS_PERIOD_S = 5;

export function domainXml(spec: DomainSpec): string {
  const x86 = spec.arch === "x86_64";
  return renderXml(el(
    "domain",
    { type: spec.type },
    el("name", {}, spec.name),
    el("uuid", {}, spec.uuid),
    el("metadata", {}, metadata(spec)),
    el("memory", { unit: "KiB" }, String(Math.ceil(spec.memoryBytes / 1024))),
    spec.sharedMemory &&
      el("memoryBacking", {}, el("source", { type: "memfd" }), el("access", { mode: "shared" })),
    el("vcpu", { placement: "static" }, String(spec.cpus)),
    el("iothreads", {}, String(spec.disks.filter((disk) => !disk.readonly).length)),
    el(
      "sysinfo",
      { type: "smbios" },
      el("oemStrings", {}, spec.oemStrings.map((each) => el("entry", {}, each))),
    ),
    os(spec),
    el(
      "features",
      {},
      el("acpi"),
      x86 && el("apic"),
      spec.type === "qemu" &&
        el("tcg", {}, el("tb-cache", { unit: "MiB" }, String(TRANSLATION_CACHE_MIB))),
    ),
    cpu(spec),
    el(
      "clock",
      { offset: "utc" },
      el("timer", { name: "rtc", tickpolicy: "catchup" }),
      x86 && el("timer", { name: "pit", tickpolicy: "delay" }),
      x86 && el("timer", { name: "hpet", present: "no" }),
    ),
    el("on_poweroff", {}, "destroy"),
    el("on_reboot", {}, "restart"),
    el("on_crash", {}, spec.onCrash),
    x86 && el(
      "pm",
      {},
      el("suspend-to-mem", { enabled: "no" }),
      el("suspend-to-disk", { enabled: "no" }),
    ),
    devices(spec),
  ));
}

function metadata(spec: DomainSpec): XmlElement {
  const { id, version, configPath } = spec.metadata;
  return el(
    "rum:machine",
    { "xmlns:rum": METADATA_NAMESPACE, id, version },
    el("rum:config", {}, configPath),
  );
}

function os(spec: DomainSpec): XmlElement {
  const type = el("type", { arch: spec.arch, machine: spec.machineType }, "hvm");
  const smbios = el("smbios", { mode: "sysinfo" });
  if (spec.firmware === "bios") return el("os", {}, type, smbios);
  // Without secure boot: it wants SMM and keys, and stock cloud images boot without.
  return el(
    "os",
    { firmware: "efi" },
    type,
    el("firmware", {}, el("feature", { enabled: "no", name: "secure-boot" })),
    smbios,
  );
}

function cpu(spec: DomainSpec): XmlElement {
  const model = spec.cpuModel ?? (spec.type === "kvm" ? "host-passthrough" : "maximum");
  if (model === "host-passthrough" || model === "host-model" || model === "maximum") {
    return el("cpu", { mode: model });
  }
  return el(
    "cpu",
    { mode: "custom", match: "exact", check: "none" },
    el("model", { fallback: "forbid" }, model),
  );
}

function devices(spec: DomainSpec): XmlElement {
  const x86 = spec.arch === "x86_64";
  let iothread = 0;
  return el(
    "devices",
    {},
    spec.disks.map((disk, index) =>
      diskXml(disk, index, disk.readonly ? undefined : ++iothread, spec.protectBacking)
    ),
    el("controller", { type: "usb", model: "none" }),
    el("controller", { type: "virtio-serial", index: 0 }),
    spec.shares.map(shareXml),
    spec.nics.map(nicXml),
    el("serial", { type: "pty" }, el("target", { port: 0 })),
    el("console", { type: "pty" }, el("target", { type: "serial", port: 0 })),
    el(
      "channel",
      { type: "unix" },
      el("source", { mode: "bind", path: spec.agentSocket }),
      el("target", { type: "virtio", name: AGENT_CHANNEL }),
    ),
    spec.vsock && el("vsock", { model: "virtio" }, el("cid", { auto: "yes" })),
    // Keys are sent to it; x86 machines have a PS/2 keyboard by themselves.
    !x86 && el("input", { type: "keyboard", bus: "virtio" }),
    el("video", {}, el("model", { type: x86 ? "vga" : "virtio" })),
    el(
      "memballoon",
      { model: "virtio", freePageReporting: "on" },
      el("stats", { period: STATS_PERIOD_S }),
    ),
    el("rng", { model: "virtio" }, el("backend", { model: "random" }, "/dev/urandom")),
    x86 && el("panic", { model: "isa" }),
  );
}

function diskXml(
  disk: DiskSpec,
  index: number,
  iothread: number | undefined,
  protectBacking: boolean,
): XmlElement {
  return el(
    "disk",
    { type: "file", device: "disk" },
    el("driver", {
      name: "qemu",
      type: disk.format,
      error_policy: "stop",
      rerror_policy: "stop",
      discard: disk.readonly ? undefined : "unmap",
      detect_zeroes: disk.readonly ? undefined : "unmap",
      iothread,
    }),
    el("source", { file: disk.path }),
    disk.backing === undefined
      // An empty element ends the chain: libvirt does not look into the file for more.
      ? disk.format === "qcow2" && el("backingStore")
      : el(
        "backingStore",
        { type: "file" },
        el("format", { type: disk.backing.format }),
        el(
          "source",
          { file: disk.backing.path },
          protectBacking && el("seclabel", { model: "dac", relabel: "no" }),
        ),
        el("backingStore"),
      ),
    el("target", { dev: diskName(index), bus: "virtio" }),
    disk.readonly && el("readonly"),
    el("serial", {}, disk.serial),
    index === 0 && el("boot", { order: 1 }),
  );
}

/** 0 → vda, 25 → vdz, 26 → vdaa. Only a key for libvirt: the guest goes by serials. */
export function diskName(index: number): string {
  let letters = "";
  for (let n = index; n >= 0; n = Math.floor(n / 26) - 1) {
    letters = String.fromCharCode(97 + n % 26) + letters;
  }
  return `vd${letters}`;
}

function shareXml(share: FileSystemShare): XmlElement {
  const virtiofs = share.type === "virtiofs";
  return el(
    "filesystem",
    {
      type: "mount",
      accessmode: virtiofs ? "passthrough" : share.access,
      // Inode numbers of several host devices under one export would collide.
      multidevs: virtiofs ? undefined : "remap",
    },
    el("driver", virtiofs ? { type: "virtiofs", queue: 1024 } : { type: "path" }),
    el("source", { dir: share.source }),
    el("target", { dir: share.tag }),
    share.readonly && el("readonly"),
  );
}

function nicXml(nic: NicSpec): XmlElement {
  return el(
    "interface",
    { type: nic.kind },
    el("mac", { address: nic.mac }),
    nic.kind === "network" && el("source", { network: nic.network }),
    el("model", { type: "virtio" }),
  );
}
