/**
 * rum.toml → the plan that this `up` wants, on this host, with this hypervisor: loaded anew at every
 * `up`, because files change. The daemon checks trust by itself: between the client's look and this
 * one a guest may have written the file.
 */
import type { Config } from "../config/types.ts";
import { loadConfig } from "../config/load.ts";
import { agentPayload } from "../guest/agent_payload.ts";
import { gatherHostFacts } from "../libvirt/host_facts.ts";
import type { Hypervisor } from "../libvirt/hypervisor.ts";
import type { Identity } from "../plan/identity.ts";
import { makePlan } from "../plan/plan.ts";
import type { HostEnv, RumPaths } from "../plan/paths.ts";
import type {
  AgentProgram,
  HostFacts,
  HypervisorChoice,
  Plan,
  RecordedPlan,
} from "../plan/types.ts";
import { requireTrust } from "../store/trust_store.ts";

export interface WantedPlan {
  readonly config: Config;
  readonly plan: Plan;
  readonly facts: HostFacts;
}

export interface PlanSourceOptions {
  readonly env: HostEnv;
  readonly rum: RumPaths;
  readonly hypervisor: HypervisorChoice;
  /** The open one; a dry run has none. */
  readonly open?: Hypervisor;
  readonly recorded?: RecordedPlan;
  readonly identity: Identity;
  readonly signal?: AbortSignal;
}

let agent: Promise<AgentProgram> | undefined;

/** A hypervisor that runs no guest has nobody to read a hundred megabytes. */
const NO_PROGRAM: AgentProgram = { digest: "unknown", files: [] };

/** One program for the life of this process: what runs is what it carries. */
function program(rum: RumPaths): Promise<AgentProgram> {
  agent ??= agentPayload({ cacheFolder: rum.cache });
  agent.catch(() => agent = undefined);
  return agent;
}

/** @throws {RumError} `config_invalid`, `config_unreadable`, `untrusted_config`, `not_supported` … */
export async function planFor(
  configPath: string,
  options: PlanSourceOptions,
): Promise<WantedPlan> {
  const { env, rum, signal } = options;
  const config = await loadConfig(configPath, { home: env.home });
  await requireTrust({
    config,
    paths: rum,
    canAsk: false,
    ask: () => Promise.resolve(false),
    signal,
  });
  return await planOf(config, options);
}

export async function planOf(config: Config, options: PlanSourceOptions): Promise<WantedPlan> {
  const { env, rum, hypervisor, open, recorded, identity, signal } = options;
  const facts = await gatherHostFacts({
    env,
    paths: rum,
    hypervisor,
    wantedType: config.advanced.domainType,
    agent: hypervisor.kind === "fake" ? NO_PROGRAM : await program(rum),
    open,
    signal,
  });
  return { config, facts, plan: makePlan(config, facts, { recorded, identity }) };
}
