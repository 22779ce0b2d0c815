/**
 * The plan: everything about a machine that can be decided before anything is made. It is a pure
 * function of Config and HostFacts, printed by `up --dry-run`, compared with the recorded plan on
 * every `up`, and read by the builders of XML, seed and disks. Nobody else decides names.
 */
import type {
  AutoPortsConfig,
  Config,
  FileSystemConfig,
  HookConfig,
  ImageConfig,
  PortConfig,
  ReadyConfig,
  ServiceConfig,
} from "../config/types.ts";
import type { HostEnv, MachinePaths, RumPaths } from "./paths.ts";

export type Arch = "x86_64" | "aarch64";

/** Which of libvirt's doors is used, and why; recorded when the machine is created. */
export interface HypervisorChoice {
  readonly uri: string;
  readonly kind: "embed" | "session" | "system" | "remote" | "test" | "fake";
  readonly reason: string;
}

export interface DomainTypeChoice {
  readonly type: "kvm" | "qemu";
  /** One sentence; a warning when emulation was not asked for. */
  readonly reason: string;
  readonly warn: boolean;
}

/** What was found on this host; gathered by an adapter, never here. */
export interface HostFacts {
  readonly env: HostEnv;
  readonly paths: RumPaths;
  readonly arch: Arch;
  readonly hypervisor: HypervisorChoice;
  readonly domainType: DomainTypeChoice;
  readonly cpus: number;
  readonly freeMemoryBytes: number;
  readonly freeDiskBytes: number;
  /** A network driver is there (bridges, reservations), or not (user-mode networking only). */
  readonly networkDriver: { readonly available: boolean; readonly reason: string };
  /** IPv4 subnets in use on this host (`10.0.0.0/8`), so that an own network meets none of them. */
  readonly usedSubnets?: readonly string[];
  readonly vsock: { readonly available: boolean; readonly reason: string };
  readonly virtiofs: {
    readonly available: boolean;
    readonly reason: string;
    /** A read-only share that the host enforces (libvirt 9 refuses it). */
    readonly readonly?: boolean;
  };
  readonly ninep: { readonly available: boolean; readonly reason: string };
  readonly rumVersion: string;
  /** The agent program that this rum carries: its digest, and its files on the host. */
  readonly agent: AgentProgram;
}

export interface AgentProgram {
  /** SHA-256 of the content; what host and guest compare. */
  readonly digest: string;
  /** One file, or a stub with its runtime and script; `rum-agent` is the one that is run. */
  readonly files: readonly AgentProgramFile[];
}

export interface AgentProgramFile {
  readonly name: string;
  readonly path: string;
  readonly mode: number;
  readonly bytes: number;
}

export interface Plan {
  readonly v: 1;
  /** 8 hex of the canonical config path. */
  readonly id: string;
  readonly name: string;
  /** libvirt's name for it: `rum-<name>-<id>`. */
  readonly hypervisorName: string;
  readonly uuid: string;
  readonly configPath: string;
  readonly paths: MachinePaths;
  readonly hypervisor: HypervisorChoice;
  readonly domainType: DomainTypeChoice;
  readonly arch: Arch;
  readonly machineType: string;
  readonly cpuModel?: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  readonly image: ImageConfig;
  readonly hostname: string;
  readonly user: Config["user"];
  readonly ssh: Config["ssh"];
  readonly nics: readonly PlannedNic[];
  readonly networks: readonly PlannedNetwork[];
  readonly drives: readonly PlannedDrive[];
  readonly fileSystems: readonly FileSystemConfig[];
  readonly mounts: readonly PlannedMount[];
  readonly scripts: readonly PlannedScript[];
  readonly ports: readonly PortConfig[];
  readonly autoPorts?: AutoPortsConfig;
  readonly ready: ReadyConfig;
  readonly services: readonly ServiceConfig[];
  readonly hooks: readonly HookConfig[];
  readonly screenshotTask?: Config["screenshotTask"];
  readonly recovery: Config["recovery"];
  readonly transport: {
    readonly kind: "vsock" | "virtio-serial";
    readonly reason: string;
    /**
     * How the host end of the virtio-serial port is reached: by its own socket in the machine's
     * folder, or by a libvirt stream (virDomainOpenChannel) where that socket would not open.
     */
    readonly channel: "socket" | "stream";
  };
  readonly autologin: boolean;
  readonly shutdownTimeoutMs: number;
  readonly agent: HostFacts["agent"];
  /** Sentences for the user: emulation, a fallback that was taken. */
  readonly warnings: readonly string[];
}

/** A plan as `state.json` keeps it: paths are always made anew, they may have moved. */
export type RecordedPlan = Omit<Plan, "paths">;

export interface PlannedNic {
  /** `user`: slirp; `network`: a libvirt network by name. */
  readonly kind: "user" | "network";
  readonly mac: string;
  readonly network?: string;
  readonly ip?: string;
}

/** An isolated or NAT network that is made and removed with the machine. */
export interface PlannedNetwork {
  readonly name: string;
  readonly hypervisorName: string;
  readonly uuid: string;
  readonly bridge: string;
  readonly forward: "nat" | "none";
  /** Always a /24: `10.200.17.0/24`. */
  readonly subnet: string;
  /** The host's own address in it. */
  readonly hostAddress: string;
  readonly reservations: readonly { readonly mac: string; readonly ip: string }[];
}

export interface PlannedDrive {
  readonly name: string;
  /** ≤ 20 bytes: how the guest finds it, whatever letter it gets. */
  readonly serial: string;
  readonly sizeBytes: number;
  readonly path: string;
}

export interface PlannedMount {
  readonly source: string;
  readonly target: string;
  readonly tag: string;
  readonly type: "virtiofs" | "9p" | "sync";
  readonly why: string;
  readonly readonly: boolean;
  readonly default: boolean;
  readonly inotify: boolean;
}

export interface PlannedScript {
  readonly name: string;
  readonly content: string;
  /** Smaller first; ties by name. drives 0, system 100, boot 200. */
  readonly order: number;
  readonly runOn: "system" | "boot";
  readonly timeoutMs: number;
  /** SHA-256 of the content. */
  readonly hash: string;
}
