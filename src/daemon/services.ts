/**
 * The machine's services as the daemon knows them: it hands the wanted set to the agent, follows what
 * becomes of it, and tells every change as an event. The agent supervises; nothing here starts,
 * stops or counts anything.
 *
 * What is known is replaced as a whole whenever a link begins, and the differences are told, so the
 * event stream has no hole where a link was down. With the machine's power everything is forgotten.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { RumError, toRumError } from "../base/errors.ts";
import type { ServiceConfig } from "../config/types.ts";
import type { AgentClient } from "../guest/agent_client.ts";
import {
  applyServices,
  requestService,
  serviceLogs,
  shutDownServices,
  watchServices,
} from "../guest/agent_services.ts";
import type { EventBody } from "../protocol/machine_events.ts";
import type { ServiceLogLines, ServiceNews, ServiceRequest } from "../protocol/service_calls.ts";
import type { InstanceView } from "../protocol/services.ts";
import type { Mux } from "../wire/mux_types.ts";
import { serviceSpecOf } from "./env_file.ts";

type ServicesPlan = { readonly services: readonly ServiceConfig[] };
type Agent = { readonly mux: Mux } & Partial<Pick<AgentClient, "hello">>;

/** One instance as `status` and `service ls` show it. */
export interface ServiceRow {
  readonly name: string;
  readonly index: number;
  /** `unknown`: it is in rum.toml, and the agent has not told of it in this daemon's time. */
  readonly state: InstanceView["state"] | "unknown";
  readonly pid?: number;
  readonly started_at?: string;
  readonly uptime_ms?: number;
  readonly restarts: number;
  readonly retry_in_ms?: number;
  readonly message?: string;
  readonly adopted?: boolean;
}

export interface MachineServices {
  /** The agent is there, for the first time or again: the wanted set, and what becomes of it. */
  attach(agent: Agent, plan: ServicesPlan, signal: AbortSignal): Promise<void>;
  /** The set of a new plan; says what that changed, undefined = nothing. */
  apply(agent: Agent, plan: ServicesPlan, signal: AbortSignal): Promise<string | undefined>;
  request(agent: Agent, request: ServiceRequest, signal: AbortSignal): Promise<string>;
  logs(
    agent: Agent,
    params: { readonly name: string; readonly lines: number; readonly follow: boolean },
    take: (lines: ServiceLogLines) => void | Promise<void>,
    signal: AbortSignal,
  ): Promise<void>;
  /** Before a power-off: TERM, each its time, KILL. Best effort. */
  stop(agent: Agent, signal: AbortSignal): Promise<void>;
  /** With a plan, every instance that it wants: what nobody has told of yet is no less there. */
  list(plan?: ServicesPlan): readonly ServiceRow[];
  /** Undefined = every instance that should be up is; else the sentence that names one that is not. */
  missing(plan: ServicesPlan, name?: string): string | undefined;
  /** The sentence that names one which its policy will not start again; waiting for it has no end. */
  over(plan: ServicesPlan): string | undefined;
  /** Sentences for `status`. */
  degraded(): readonly string[];
  /** The link is gone, or the power: nobody is followed any more. */
  powerOff(): void;
}

const UNTOLD = "the guest's agent has not told of it yet";

/** SPEC section 8: what a machine's power-off leaves to services, and the agent's word after it. */
const STOP_MS = 10_000 + 5_000;

export interface MachineServicesOptions {
  readonly emit: (event: EventBody) => void;
  readonly log: (text: string) => void;
  readonly clock?: Clock;
}

/** What was told before a change of the services may be of before it; so long after it, it is of now. */
const OVER_MS = 5000;

export function createMachineServices(options: MachineServicesOptions): MachineServices {
  const { emit, log, clock = systemClock } = options;
  const known = new Map<string, { view: InstanceView; atMs: number }>();
  let following: AbortController | undefined;
  let pushedMs = 0;

  const take = (news: ServiceNews) => {
    const atMs = clock.monotonicMs();
    const gone = new Set(news.gone.map(keyOf));
    if (news.whole) {
      const there = new Set(news.instances.map(keyOf));
      for (const key of known.keys()) if (!there.has(key)) gone.add(key);
    }
    for (const key of gone) {
      const before = known.get(key);
      if (!known.delete(key) || before === undefined) continue;
      const { service, index } = before.view;
      emit({ kind: "service", service, index, state: "gone" });
    }
    for (const view of news.instances) {
      const key = keyOf(view);
      const before = known.get(key)?.view;
      known.set(key, { view, atMs });
      if (before?.state === view.state && before.generation === view.generation) continue;
      // That it is not there yet is no news; that it starts is.
      if (before === undefined && view.due) continue;
      const { service, index, state, text } = view;
      emit({ kind: "service", service, index, state, ...(text === undefined ? {} : { text }) });
    }
  };

  const follow = (agent: Agent) => {
    following?.abort();
    const stop = following = new AbortController();
    watchServices(agent.mux, (news) => {
      if (!stop.signal.aborted) take(news);
    }, { signal: stop.signal }).catch((error) => {
      // The link's end is told by the link; the next attach follows again.
      if (!stop.signal.aborted && toRumError(error).code !== "agent_restarted") {
        log(`Following the guest's services failed: ${toRumError(error).message}`);
      }
    });
  };

  const push = async (agent: Agent, plan: ServicesPlan, signal: AbortSignal) => {
    const specs = await Promise.all(plan.services.map(serviceSpecOf));
    const said = await applyServices(agent.mux, specs, { signal });
    pushedMs = clock.monotonicMs();
    return /[1-9]/.test(said) ? said : undefined;
  };

  const untold = (plan?: ServicesPlan): ServiceRow[] => {
    const rows: ServiceRow[] = [];
    for (const { name, instances } of plan?.services ?? []) {
      for (let index = 0; index < instances; index++) {
        if (known.has(keyOf({ service: name, index }))) continue;
        rows.push({ name, index, state: "unknown", restarts: 0, message: UNTOLD });
      }
    }
    return rows;
  };

  return {
    async attach(agent, plan, signal) {
      follow(agent);
      await push(agent, plan, signal);
    },
    apply: push,
    request: (agent, request, signal) => requestService(agent.mux, request, { signal }),
    logs: (agent, params, take, signal) => serviceLogs(agent.mux, params, take, { signal }),
    async stop(agent, signal) {
      if (known.size === 0) return;
      try {
        await shutDownServices(agent.mux, { signal, timeoutMs: STOP_MS });
      } catch (error) {
        const { message } = toRumError(error);
        emit({ kind: "warning", text: `Not every service ended before the power-off: ${message}` });
      }
    },
    list: (plan) =>
      [...known.values()]
        .map(({ view, atMs }) => rowOf(view, clock.monotonicMs() - atMs))
        .concat(untold(plan))
        .sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : a.index - b.index),
    missing(plan, name) {
      if (name !== undefined && !plan.services.some((service) => service.name === name)) {
        throw new RumError("service_not_found", `There is no service "${name}"`, {
          hint: "rum service ls",
        });
      }
      for (const service of plan.services) {
        if (name !== undefined && service.name !== name) continue;
        for (let index = 0; index < service.instances; index++) {
          const view = known.get(keyOf({ service: service.name, index }))?.view;
          if (view !== undefined && isUp(view, name !== undefined)) continue;
          return `service ${service.name} [${index}] ${
            view === undefined ? "is not there yet" : stateText(view)
          }`;
        }
      }
      return undefined;
    },
    over(plan) {
      const settledMs = clock.monotonicMs() - OVER_MS;
      const ended = [...known.values()].find(({ view, atMs }) =>
        Math.max(atMs, pushedMs) <= settledMs &&
        (view.state === "fatal" || view.state === "crashed") &&
        plan.services.some(({ name, instances }) => name === view.service && view.index < instances)
      );
      if (ended === undefined) return undefined;
      const { service, index } = ended.view;
      const again = `is not started again (rum service start ${service})`;
      return `service ${service} [${index}] ${stateText(ended.view)}, and ${again}`;
    },
    degraded: () =>
      [...known.values()].flatMap(({ view }) =>
        view.state === "unhealthy" || view.state === "crashed" || view.state === "fatal"
          ? [
            `service ${view.service} [${view.index}] is ${view.state}${
              view.text === undefined ? "" : `: ${view.text}`
            }`,
          ]
          : []
      ),
    powerOff() {
      following?.abort();
      following = undefined;
      known.clear();
    },
  };
}

function stateText({ state, text }: InstanceView): string {
  return `is ${state}${text === undefined ? "" : ` (${text})`}`;
}

/** A one-off that ended well did its work, and one that was stopped is wanted so; whoever waits for one service by name wants it running. */
function isUp({ state, due }: InstanceView, running: boolean): boolean {
  return state === "running" || (!running && state === "stopped" && !due);
}

function keyOf({ service, index }: { service: string; index: number }): string {
  return `${service}/${index}`;
}

function rowOf(view: InstanceView, sinceMs: number): ServiceRow {
  return {
    name: view.service,
    index: view.index,
    state: view.state,
    restarts: view.restarts,
    ...(view.pid === undefined ? {} : { pid: view.pid }),
    ...(view.startedAt === undefined ? {} : { started_at: view.startedAt }),
    ...(view.uptimeMs === undefined ? {} : { uptime_ms: Math.round(view.uptimeMs + sinceMs) }),
    ...(view.retryInMs === undefined
      ? {}
      : { retry_in_ms: Math.max(0, Math.round(view.retryInMs - sinceMs)) }),
    ...(view.text === undefined ? {} : { message: view.text }),
    ...(view.adopted ? { adopted: true } : {}),
  };
}
