/**
 * Config + what was found on the host → everything about the machine that can be decided before
 * anything is made. Pure: the same values give the same plan, so `up --dry-run` shows what `up`
 * does, and every later `up` can be compared with what was recorded.
 *
 * What cannot be had here is refused here, with the reason, and not by libvirt half-way. Room on
 * disk and in memory is asked separately (`room.ts`): it matters only when something is about to be
 * made or started, and a plan for `status` must not fail because the machine itself uses the memory.
 */
import type { Config, ScriptConfig } from "../config/types.ts";
import { RumError } from "../base/errors.ts";
import { sha256Hex } from "../base/sha256.ts";
import { driveSerial, hypervisorName, type Identity, identityOf } from "./identity.ts";
import { planMount } from "./mounts.ts";
import { planNetworking } from "./network.ts";
import { machinePaths } from "./paths.ts";
import type { HostFacts, Plan, PlannedScript, RecordedPlan } from "./types.ts";

/** Where scripts stand among each other (SPEC section 7); drives have 0 and are the agent's own. */
const ORDER = { system: 100, boot: 200 } as const;

export interface PlanOptions {
  /** The plan the machine was made with: subnets stay as they are. */
  readonly recorded?: RecordedPlan;
  /** Who the machine is, where that is known: its folder says so, not its rum.toml's path. */
  readonly identity?: Identity;
}

/**
 * @throws {RumError} `not_supported` for what this hypervisor cannot do, `config_invalid` for what
 *   no hypervisor can
 */
export function makePlan(config: Config, facts: HostFacts, options: PlanOptions = {}): Plan {
  // A machine that was adopted keeps who it is, whatever its rum.toml's path says now.
  const { id, uuid } = options.identity ?? options.recorded ?? identityOf(config.path);
  const paths = machinePaths(facts.paths, id);
  const networking = planNetworking(id, config.network, facts, options.recorded?.networks);
  const { advanced } = config;
  const warnings = facts.domainType.warn ? [facts.domainType.reason] : [];
  return {
    v: 1,
    id,
    name: config.name,
    hypervisorName: hypervisorName(config.name, id),
    uuid,
    configPath: config.path,
    paths,
    hypervisor: facts.hypervisor,
    domainType: facts.domainType,
    arch: facts.arch,
    machineType: machineType(advanced.machine, facts),
    ...(advanced.cpu === undefined ? {} : { cpuModel: advanced.cpu }),
    cpus: config.resources.cpus,
    memoryBytes: config.resources.memoryBytes,
    diskBytes: config.resources.diskBytes,
    image: config.image,
    hostname: config.network.hostname,
    user: config.user,
    ssh: config.ssh,
    nics: networking.nics,
    networks: networking.networks,
    drives: config.drives.map((drive) => ({
      name: drive.name,
      serial: driveSerial(drive.name),
      sizeBytes: drive.sizeBytes,
      path: paths.drive(drive.name),
    })),
    fileSystems: config.fileSystems,
    mounts: config.mounts.map((mount) => planMount(mount, facts, config.image.base)),
    scripts: planScripts(config.provision),
    ports: config.ports,
    ...(config.autoPorts === undefined ? {} : { autoPorts: config.autoPorts }),
    ready: config.ready,
    services: config.services,
    hooks: config.hooks,
    ...(config.screenshotTask === undefined ? {} : { screenshotTask: config.screenshotTask }),
    recovery: config.recovery,
    transport: planTransport(advanced.transport, facts),
    autologin: advanced.autologin,
    shutdownTimeoutMs: advanced.shutdownTimeoutMs,
    agent: facts.agent,
    warnings,
  };
}

/** `q35` is the file's default and exists on x86 only; elsewhere it means "the usual one". */
function machineType(wanted: string, facts: HostFacts): string {
  return facts.arch === "aarch64" && wanted === "q35" ? "virt" : wanted;
}

function planScripts(provision: Config["provision"]): PlannedScript[] {
  const script = (name: "system" | "boot", source: ScriptConfig | undefined): PlannedScript[] =>
    source === undefined ? [] : [{
      name,
      content: source.content,
      order: ORDER[name],
      runOn: name,
      timeoutMs: source.timeoutMs,
      hash: sha256Hex(source.content),
    }];
  return [...script("system", provision.system), ...script("boot", provision.boot)];
}

function planTransport(
  wanted: Config["advanced"]["transport"],
  facts: HostFacts,
): Plan["transport"] {
  const { vsock } = facts;
  const channel = planChannel(facts);
  switch (wanted) {
    case "virtio-serial":
      return { kind: "virtio-serial", reason: "rum.toml asks for it", channel };
    case "vsock":
      if (!vsock.available) {
        throw new RumError("not_supported", `Cannot use transport = "vsock": ${vsock.reason}`, {
          hint: 'Set transport = "auto" under [advanced]',
        });
      }
      return { kind: "vsock", reason: "rum.toml asks for it", channel };
    case "auto":
      return vsock.available
        ? { kind: "vsock", reason: vsock.reason, channel }
        : { kind: "virtio-serial", reason: `no vsock: ${vsock.reason}`, channel };
  }
}

/**
 * Where QEMU runs as us its socket is opened by path. The system daemon's QEMU is another user, who
 * cannot make a socket in the machine's folder (state and keys are in it), and a remote host's is not
 * here: there libvirt chooses the place and hands the stream over.
 */
function planChannel(facts: HostFacts): Plan["transport"]["channel"] {
  switch (facts.hypervisor.kind) {
    case "embed":
    case "session":
    case "fake":
      return "socket";
    case "system":
    case "remote":
    case "test":
      return "stream";
  }
}
