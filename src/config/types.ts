/**
 * A `rum.toml` that has been checked: every default filled in, every size in bytes, every duration
 * in milliseconds, every path absolute. Nothing below `src/config` sees TOML again. SPEC section 3
 * is the reference for what each key means; this file is its shape.
 */
export interface Config {
  /** Absolute, canonical path of the file. */
  readonly path: string;
  /** The folder of the file; relative paths stand here. */
  readonly folder: string;
  readonly name: string;
  readonly image: ImageConfig;
  readonly resources: {
    readonly cpus: number;
    readonly memoryBytes: number;
    readonly diskBytes: number;
  };
  readonly network: {
    readonly nat: boolean;
    readonly hostname: string;
    readonly interfaces: readonly InterfaceConfig[];
  };
  readonly provision: { readonly system?: ScriptConfig; readonly boot?: ScriptConfig };
  readonly user: {
    readonly name: string;
    readonly groups: readonly string[];
    readonly shell: string;
  };
  readonly ssh: {
    readonly user: string;
    readonly command: string;
    /** Set when `command` is a file inside the project folder, which a guest may be able to write. */
    readonly commandFile?: FileDigest;
    readonly authorizedKeys: readonly string[];
  };
  readonly mounts: readonly MountConfig[];
  readonly drives: readonly DriveConfig[];
  readonly fileSystems: readonly FileSystemConfig[];
  readonly ports: readonly PortConfig[];
  readonly autoPorts?: AutoPortsConfig;
  readonly ready: ReadyConfig;
  readonly services: readonly ServiceConfig[];
  readonly recovery: {
    readonly onCrash: "none" | "restart" | "preserve";
    /** A machine that ran when the host went down; absent = "report". */
    readonly afterHostRestart?: "report" | "start";
  };
  readonly hooks: readonly HookConfig[];
  readonly screenshotTask?: ScreenshotTaskConfig;
  readonly advanced: AdvancedConfig;
}

export interface ImageConfig {
  /** As written: a short name, an https URL, or a path (made absolute, links resolved). */
  readonly base: string;
  readonly kind: "name" | "url" | "path";
  readonly sha256?: string;
}

export interface InterfaceConfig {
  readonly network: string;
  readonly ip?: string;
}

/** A script as text: `file` has been read by the loader. */
export interface ScriptConfig {
  readonly content: string;
  /** Absolute path when it came from `file`. */
  readonly file?: string;
  readonly timeoutMs: number;
}

export interface MountConfig {
  /** Absolute, canonical host path (`.`, `git` and links resolved). */
  readonly source: string;
  readonly target: string;
  readonly type: "auto" | "virtiofs" | "9p" | "sync";
  readonly readonly: boolean;
  readonly tag: string;
  readonly default: boolean;
  readonly inotify: boolean;
}

export interface DriveConfig {
  readonly name: string;
  readonly sizeBytes: number;
}

export interface FileSystemConfig {
  readonly type: "ext4" | "xfs" | "btrfs" | "zfs";
  readonly drives: readonly string[];
  readonly target: string;
  readonly mode?: string;
  readonly pool?: string;
}

export interface PortConfig {
  /** 0 = pick a free one. */
  readonly host: number;
  readonly guest: number;
  readonly bind: string;
  readonly proto: "tcp" | "udp";
  readonly onConflict: "fail" | "next";
}

export interface AutoPortsConfig {
  readonly from: number;
  readonly to: number;
  readonly bind: string;
  readonly ignore: readonly number[];
}

export interface ReadyConfig {
  readonly exec?: readonly string[];
  readonly port?: number;
  readonly timeoutMs: number;
  readonly services: boolean;
}

export interface ServiceConfig {
  readonly name: string;
  readonly command: readonly string[];
  readonly cwd?: string;
  readonly env: Readonly<Record<string, string>>;
  /** Absolute host path; its content travels to the guest by the agent, never by the seed. */
  readonly envFile?: string;
  readonly user: string;
  readonly instances: number;
  readonly after: readonly string[];
  readonly restart: {
    readonly policy: "no" | "on-failure" | "always";
    readonly max: number;
    readonly withinMs: number;
    readonly minUptimeMs: number;
    readonly backoff: "fixed" | "linear" | "exponential";
    readonly firstMs: number;
    readonly maxMs: number;
  };
  readonly health: HealthConfig;
  readonly shutdown: { readonly signal: string; readonly timeoutMs: number };
  readonly log: { readonly maxBytes: number; readonly keep: number };
}

export type HealthConfig =
  | { readonly kind: "none" }
  | (HealthTiming & { readonly kind: "http"; readonly url: string })
  | (HealthTiming & { readonly kind: "tcp"; readonly port: number })
  | (HealthTiming & { readonly kind: "exec"; readonly command: readonly string[] });

export interface HealthTiming {
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly unhealthy: number;
  readonly healthy: number;
}

export interface HookConfig {
  readonly event: string;
  readonly exec: readonly string[];
  readonly timeoutMs: number;
  /**
   * What `exec` runs of the project folder (command_files.ts). A guest may be able to write it, so it
   * is approved with its content and looked for again before every run.
   */
  readonly files: readonly FileDigest[];
}

export interface FileDigest {
  /** Absolute, canonical. */
  readonly path: string;
  /** Absent when it is no regular file, or not in the project. */
  readonly sha256?: string;
  /** The place the command names, when links inside the project lead from there to `path`. */
  readonly via?: string;
}

export interface ScreenshotTaskConfig {
  readonly everyMs: number;
  readonly keep: number;
  readonly folder?: string;
}

export interface AdvancedConfig {
  /** `auto` or an explicit URI. */
  readonly libvirtUri: string;
  readonly domainType: "auto" | "kvm" | "qemu";
  readonly machine: string;
  readonly cpu?: string;
  readonly transport: "auto" | "vsock" | "virtio-serial";
  readonly autologin: boolean;
  readonly shutdownTimeoutMs: number;
}
