/**
 * A file that passed every check → Config: sizes in bytes, durations in milliseconds, paths
 * absolute, names filled in. Total: whatever could fail has been told before.
 */
import { sha256Hex } from "../base/sha256.ts";
import * as posix from "../base/posix_path.ts";
import * as v from "valibot";
import { parseDuration, parseSize } from "../base/units.ts";
import { FILE_SYSTEM_TYPES, normalTarget } from "./cross_checks.ts";
import type { HostFiles } from "./host_files.ts";
import { imageKind } from "./image_kind.ts";
import type { RumToml } from "./schema.ts";
import { restartTable } from "./schema_services.ts";
import type {
  Config,
  FileSystemConfig,
  HealthConfig,
  HookConfig,
  MountConfig,
  ScriptConfig,
  ServiceConfig,
} from "./types.ts";

export interface BuildOptions {
  readonly path: string;
  readonly folder: string;
  readonly files: HostFiles;
}

export function buildConfig(file: RumToml, options: BuildOptions): Config {
  const { files } = options;
  const name = file.name ?? safeName(posix.basename(options.folder));
  const screenshot = file.tasks.screenshot;
  const autoPorts = file.auto_ports;
  return {
    path: options.path,
    folder: options.folder,
    name,
    image: {
      base: files.paths.get("image.base") ?? file.image.base,
      kind: imageKind(file.image.base),
      ...given({ sha256: file.image.sha256?.toLowerCase() }),
    },
    resources: {
      cpus: file.resources.cpus,
      memoryBytes: file.resources.memory_mb !== undefined
        ? file.resources.memory_mb * 2 ** 20
        : bytes(file.resources.memory),
      diskBytes: bytes(file.resources.disk),
    },
    network: {
      nat: file.network.nat,
      hostname: file.network.hostname ?? name.replace(/-+$/, ""),
      interfaces: file.network.interfaces.map(({ network, ip }) => ({ network, ...given({ ip }) })),
    },
    provision: given({
      system: scriptOf(file.provision.system, files.scripts.system),
      boot: scriptOf(file.provision.boot, files.scripts.boot),
    }),
    user: file.user,
    ssh: {
      user: file.ssh.user ?? file.user.name,
      command: files.paths.get("ssh.command") ?? file.ssh.command,
      ...given({ commandFile: files.digests.get("ssh.command")?.[0] }),
      authorizedKeys: file.ssh.authorized_keys,
    },
    mounts: file.mounts.map((mount, i): MountConfig => {
      const target = normalTarget(mount.target);
      return {
        source: files.paths.get(`mounts[${i}].source`)!,
        target,
        type: mount.type,
        readonly: mount.readonly,
        tag: mount.tag ?? tagOf(target),
        default: mount.default,
        inotify: mount.inotify,
      };
    }),
    drives: Object.entries(file.drives).map(([name, { size }]) => ({
      name,
      sizeBytes: bytes(size),
    })),
    fileSystems: FILE_SYSTEM_TYPES.flatMap((type) =>
      (file.fs[type] ?? []).map((fs): FileSystemConfig => ({
        type,
        drives: fs.drives ?? [fs.drive!],
        target: normalTarget(fs.target),
        ...given({ mode: fs.mode, pool: fs.pool }),
      }))
    ),
    ports: file.ports.map(({ host, guest, bind, proto, on_conflict }) => ({
      host,
      guest,
      bind,
      proto,
      onConflict: on_conflict,
    })),
    ...(autoPorts === undefined ? {} : {
      autoPorts: {
        from: Number(autoPorts.range.split("-")[0]),
        to: Number(autoPorts.range.split("-")[1]),
        bind: autoPorts.bind,
        ignore: autoPorts.ignore,
      },
    }),
    ready: {
      ...given({ exec: file.ready.exec, port: file.ready.port }),
      timeoutMs: ms(file.ready.timeout),
      services: file.ready.services,
    },
    services: Object.entries(file.services).map(([name, service]) =>
      serviceOf(name, service, files)
    ),
    recovery: {
      onCrash: file.recovery.on_crash,
      afterHostRestart: file.recovery.after_host_restart,
    },
    hooks: Object.entries(file.on).map(([event, hook]): HookConfig => ({
      event,
      exec: hook!.exec,
      timeoutMs: ms(hook!.timeout),
      files: files.digests.get(`on.${event}.exec`) ?? [],
    })),
    ...(screenshot === undefined ? {} : {
      screenshotTask: {
        everyMs: ms(screenshot.every),
        keep: screenshot.keep,
        ...given({ folder: files.paths.get("tasks.screenshot.folder") }),
      },
    }),
    advanced: {
      libvirtUri: file.advanced.libvirt_uri,
      domainType: file.advanced.domain_type,
      machine: file.advanced.machine,
      ...given({ cpu: file.advanced.cpu }),
      transport: file.advanced.transport,
      autologin: file.advanced.autologin,
      shutdownTimeoutMs: ms(file.advanced.shutdown_timeout),
    },
  };
}

/** The file as `config show` prints it: in rum.toml's words, with nothing left to be guessed. */
export function effectiveToml(file: RumToml, config: Config): RumToml {
  const { memory_mb, ...resources } = file.resources;
  return {
    // First, as a person would write it; a name in the file is the same one.
    ...{ name: config.name },
    ...file,
    resources: memory_mb === undefined ? resources : { ...resources, memory: `${memory_mb}M` },
    network: { ...file.network, hostname: config.network.hostname },
    ssh: { ...file.ssh, user: config.ssh.user },
  };
}

/** A folder's name as a machine's: `My Project (2)` → `my-project-2`. */
export function safeName(folder: string): string {
  const name = folder.normalize("NFKD").toLowerCase().replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+/, "").slice(0, 40).replace(/-+$/, "");
  return name === "" ? "machine" : name;
}

/** Eight characters that depend on the target alone, so that reordering mounts changes nothing. */
function tagOf(target: string): string {
  return "m" + sha256Hex(target).slice(0, 7);
}

function scriptOf(
  script: RumToml["provision"]["system"],
  read: { content: string; file: string } | undefined,
): ScriptConfig | undefined {
  if (script === undefined) return undefined;
  const timeoutMs = ms(script.timeout);
  return read === undefined ? { content: script.script!, timeoutMs } : { ...read, timeoutMs };
}

function serviceOf(
  name: string,
  service: RumToml["services"][string],
  files: HostFiles,
): ServiceConfig {
  const restart = typeof service.restart === "string"
    ? v.parse(restartTable, { policy: service.restart })
    : service.restart;
  return {
    name,
    command: service.command,
    ...given({ cwd: service.cwd, envFile: files.paths.get(`services.${name}.env_file`) }),
    env: service.env,
    user: service.user,
    instances: service.instances,
    after: service.after,
    restart: {
      policy: restart.policy,
      max: restart.max,
      withinMs: ms(restart.within),
      minUptimeMs: ms(restart.min_uptime),
      backoff: restart.backoff,
      firstMs: ms(restart.first),
      maxMs: ms(restart.max_delay),
    },
    health: healthOf(service.health),
    shutdown: { signal: service.shutdown.signal, timeoutMs: ms(service.shutdown.timeout) },
    log: { maxBytes: bytes(service.log.max_size), keep: service.log.keep },
  };
}

function healthOf(health: RumToml["services"][string]["health"]): HealthConfig {
  if (health === undefined) return { kind: "none" };
  const timing = {
    intervalMs: ms(health.interval),
    timeoutMs: ms(health.timeout),
    unhealthy: health.unhealthy,
    healthy: health.healthy,
  };
  if (health.http !== undefined) return { kind: "http", url: health.http, ...timing };
  if (health.tcp !== undefined) return { kind: "tcp", port: health.tcp, ...timing };
  return { kind: "exec", command: health.exec!, ...timing };
}

function bytes(size: string | number): number {
  return typeof size === "number" ? size : parseSize(size)!;
}

function ms(duration: string): number {
  return parseDuration(duration)!;
}

/** Without the keys that have no value: absent and undefined must hash and compare alike. */
function given<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(values).filter(([, value]) => value !== undefined),
  ) as Partial<T>;
}
