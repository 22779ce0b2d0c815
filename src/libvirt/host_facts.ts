/**
 * Gathers HostFacts: what the plan may know of this host. The choices themselves are pure
 * (`src/plan/uri.ts`, `src/plan/kvm.ts`); here is only the asking.
 *
 * A hypervisor that is open already answers for itself (capabilities, networks, versions). Without
 * one (`up --dry-run`; an embedded root may be opened only under the machine's lock) the answers are
 * those that follow from the kind of door.
 */
import { VERSION } from "../base/version.ts";
import { chooseDomainType } from "../plan/kvm.ts";
import type { HostEnv, RumPaths } from "../plan/paths.ts";
import type { DomainTypeChoice, HostFacts, HypervisorChoice } from "../plan/types.ts";
import { chooseHypervisor, needsSystemProbe } from "../plan/uri.ts";
import { listsKvm } from "./capabilities.ts";
import type { Hypervisor } from "./hypervisor.ts";
import {
  type Availability,
  cpuFlags,
  deviceOpens,
  exists,
  findVirtiofsd,
  freeDiskBytes,
  freeMemoryBytes,
  hostArch,
  usedSubnets,
} from "./host_devices.ts";
import { probeSystem } from "./system_probe.ts";

export interface DoorQuestion {
  readonly uid: number;
  /** `[advanced] libvirt_uri`. */
  readonly wanted: string;
  readonly recorded?: HypervisorChoice;
  readonly embedRoot: string;
  readonly signal?: AbortSignal;
}

/** Which of libvirt's doors, asking the system daemon only where that matters. */
export async function chooseDoor(question: DoorQuestion): Promise<HypervisorChoice> {
  const { signal, ...facts } = question;
  const system = needsSystemProbe(facts) ? await probeSystem({ signal }) : undefined;
  return chooseHypervisor({ ...facts, system });
}

export interface FactsQuestion {
  readonly env: HostEnv;
  readonly paths: RumPaths;
  readonly hypervisor: HypervisorChoice;
  /** `[advanced] domain_type`. */
  readonly wantedType: "auto" | "kvm" | "qemu";
  readonly agent: HostFacts["agent"];
  /** The open one, where there is one. */
  readonly open?: Hypervisor;
  readonly signal?: AbortSignal;
}

export async function gatherHostFacts(question: FactsQuestion): Promise<HostFacts> {
  const { env, paths, hypervisor, agent } = question;
  const [domainType, memory, disk, networkDriver, vsock, virtiofs, subnets] = await Promise.all([
    kvmOrEmulation(question),
    freeMemoryBytes(),
    freeDiskBytes(paths.data),
    networks(question),
    vsockOf(hypervisor),
    virtiofsOf(question),
    usedSubnets(),
  ]);
  return {
    env,
    paths,
    arch: hostArch(),
    hypervisor,
    domainType,
    cpus: navigator.hardwareConcurrency,
    freeMemoryBytes: memory,
    freeDiskBytes: disk,
    networkDriver,
    usedSubnets: subnets,
    vsock,
    virtiofs,
    ninep: ninepOf(hypervisor),
    rumVersion: VERSION,
    agent,
  };
}

async function kvmOrEmulation(question: FactsQuestion): Promise<DomainTypeChoice> {
  const { hypervisor, open, signal } = question;
  const arch = hostArch();
  if (hypervisor.kind === "fake" || hypervisor.kind === "test") {
    return { type: "qemu", reason: "This hypervisor runs no real machine", warn: false };
  }
  const remote = hypervisor.kind === "remote";
  const capabilities = await open?.capabilities({ signal });
  return chooseDomainType({
    arch,
    wanted: question.wantedType,
    device: remote ? undefined : await kvmDevice(hypervisor),
    capabilitiesListKvm: capabilities === undefined || listsKvm(capabilities, arch),
    cpuFlags: remote ? undefined : await cpuFlags(),
  });
}

/** The system daemon opens it itself; whether we may is beside the point. */
async function kvmDevice({ kind }: HypervisorChoice): Promise<{ opens: boolean; detail: string }> {
  if (kind === "system" && Deno.uid() !== 0) {
    const there = await exists("/dev/kvm");
    return { opens: there, detail: there ? "" : "it does not exist" };
  }
  return await deviceOpens("/dev/kvm");
}

async function networks({ hypervisor, open, signal }: FactsQuestion): Promise<Availability> {
  switch (hypervisor.kind) {
    case "embed":
      return no("libvirt inside rum has no network driver; the system daemon has one");
    case "session":
      return no("an ordinary user's session cannot make bridges; the system daemon can");
    default: {
      if (open === undefined) return yes(`${hypervisor.uri} has networks`);
      const { available, detail } = await open.networkDriver({ signal });
      return available ? yes(`${hypervisor.uri} has networks`) : no(detail);
    }
  }
}

async function vsockOf({ kind }: HypervisorChoice): Promise<Availability> {
  switch (kind) {
    case "remote":
      return no("vsock does not reach another host");
    case "fake":
    case "test":
      return no("this hypervisor runs no real machine");
    default: {
      const { opens, detail } = await deviceOpens("/dev/vhost-vsock");
      return opens ? yes("/dev/vhost-vsock opens") : no(`/dev/vhost-vsock: ${detail}`);
    }
  }
}

async function virtiofsOf(
  { hypervisor, open, signal, env }: FactsQuestion,
): Promise<HostFacts["virtiofs"]> {
  if (hypervisor.kind === "remote") return no("a share does not reach another host");
  if (hypervisor.kind === "fake" || hypervisor.kind === "test") {
    return no("this hypervisor runs no real machine");
  }
  const program = await findVirtiofsd();
  if (program === undefined) return no("virtiofsd is not installed");
  const library = await libraryVersion(open, signal);
  if (library === 0 && env.uid !== 0) {
    return no("only an open connection can tell libvirt's version");
  }
  const unprivileged = hypervisor.kind === "session" ||
    env.uid !== 0 && hypervisor.kind === "embed";
  if (unprivileged && library < 10) {
    return no(`libvirt ${library} shares folders by virtiofs only as root (10 and later can)`);
  }
  // virtiofsd learned `--readonly` late, and libvirt passes it on from 11.0.
  return { ...yes(program), readonly: library >= 11 };
}

/** The major number; 0, the most careful answer, while nothing is open. */
async function libraryVersion(open: Hypervisor | undefined, signal?: AbortSignal): Promise<number> {
  if (open === undefined) return 0;
  return Number((await open.versions({ signal })).library.split(".")[0]);
}

function ninepOf({ kind }: HypervisorChoice): Availability {
  switch (kind) {
    case "remote":
      return no("a share does not reach another host");
    case "fake":
    case "test":
      return no("this hypervisor runs no real machine");
    default:
      return yes("QEMU serves 9p itself");
  }
}

function yes(reason: string): Availability {
  return { available: true, reason };
}

function no(reason: string): Availability {
  return { available: false, reason };
}
