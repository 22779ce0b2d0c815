/**
 * The daemon's composition: one engine, its methods, its line protocol. The only place where the
 * machine's parts and the process around them meet.
 */
import { systemClock } from "../base/clock.ts";
import { toRumError } from "../base/errors.ts";
import type { HostEnv, RumPaths } from "../plan/paths.ts";
import { agentOf } from "./agent_access.ts";
import { openEngine } from "./open_engine.ts";
import { cpMethods } from "./methods/cp.ts";
import { consoleMethods } from "./methods/console.ts";
import { execMethods } from "./methods/exec.ts";
import { hypervisorMethods } from "./methods/hypervisor.ts";
import { lifecycleMethods } from "./methods/lifecycle.ts";
import { portMethods } from "./methods/ports.ts";
import { proxyMethods } from "./methods/proxy.ts";
import { queryMethods } from "./methods/query.ts";
import { serviceMethods } from "./methods/service.ts";
import { actOfOwnAccord } from "./own_accord.ts";
import { isOff } from "./power.ts";
import type { Composition, DaemonHost } from "./serve.ts";
import { statusOf } from "./status.ts";

export interface ComposeOptions {
  readonly rum: RumPaths;
  readonly env: HostEnv;
  readonly configPath?: string;
}

const DRIFT_EVERY_MS = 5000;
/** All that `status` ever waits for: a file system that does not answer is not its trouble. */
const DRIFT_LOOK_MS = 500;
/** A daemon without a machine to look after ends by itself. */
const IDLE_END_MS = 2000;
const FIRST_REQUEST_MS = 30_000;

export function composer(
  options: ComposeOptions,
): (host: DaemonHost) => Promise<Composition> {
  return async (host) => {
    const engine = await openEngine({ ...options, ...host });
    const { controller } = engine;
    const { forwards } = engine.forwards;
    const powered = () => !isOff(engine.hypervisorStatus.state);
    const agent = (signal: AbortSignal) => agentOf(engine, signal);
    if (engine.plan !== undefined && powered()) await engine.forwards.takeUp(engine.plan);
    void engine.drift.look();
    const driftTimer = setInterval(() => void engine.drift.look(), DRIFT_EVERY_MS);
    const status = async () => {
      await within(engine.drift.look(), DRIFT_LOOK_MS);
      return statusOf(engine, host);
    };
    const over = endOfWork(engine.controller, () => void engine.forwards.noBoot());
    const own = actOfOwnAccord(engine, { log: host.log });

    return {
      methods: {
        ...lifecycleMethods(engine),
        ...execMethods(engine),
        ...queryMethods(engine, status),
        ...consoleMethods({ console: engine.console, controller, powered }),
        ...portMethods({ forwards, powered }),
        ...proxyMethods({ paths: engine.paths, agent }),
        ...cpMethods({ agent }),
        ...hypervisorMethods({
          machine: () => engine.machine(),
          powered,
          stats: own.stats,
          clock: systemClock,
        }),
        ...serviceMethods({
          services: engine.services,
          defined: () => engine.plan?.services ?? [],
          agent,
          powered,
        }),
      },
      lines: {
        status: async () => await status() as unknown as Record<string, unknown>,
        shutdown: async () =>
          answer(
            await controller.request({
              kind: "down",
              client: "line",
              force: false,
              timeoutMs: engine.plan?.shutdownTimeoutMs ?? 60_000,
            }),
          ),
        destroy: async () => answer(await controller.request({ kind: "destroy", client: "line" })),
      },
      leaving() {
        const { kind } = controller.snapshot().state;
        return kind === "destroying" || kind === "over";
      },
      ended: over.ended,
      async release() {
        clearInterval(driftTimer);
        own[Symbol.dispose]();
        over.stop();
        try {
          await controller.request({ kind: "release" });
          await controller.closed;
        } catch (error) {
          host.log(`The controller did not end well: ${toRumError(error).message}`);
        }
        await engine.close();
      },
    };
  };
}

async function within(look: Promise<void>, ms: number): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([look, late]);
  clearTimeout(timer);
}

function answer(outcome: { readonly did: string; readonly exit: number }): Record<string, unknown> {
  return { did: outcome.did, exit: outcome.exit };
}

/**
 * Resolves two seconds after there is nothing left to be a daemon for: the machine is off, absent or
 * gone. A daemon that was just started waits longer, for the request it was started for. `onIdle` is
 * called at once, each time: an `up` that begins meanwhile finds its own things after it.
 */
function endOfWork(
  controller: Awaited<ReturnType<typeof openEngine>>["controller"],
  onIdle: () => void,
): { ended: Promise<void>; stop(): void } {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const stopped = new AbortController();
  (async () => {
    let graceMs = FIRST_REQUEST_MS;
    while (!stopped.signal.aborted) {
      const { state, revision } = controller.snapshot();
      if (state.kind === "over") return resolve();
      const idle = state.kind === "absent" || state.kind === "stopped" ||
        (state.kind === "failed" && state.power === "off" && !state.cleaning);
      if (!idle) {
        graceMs = IDLE_END_MS;
        await controller.changed(revision, { signal: stopped.signal });
        continue;
      }
      onIdle();
      const timer = new AbortController();
      const onStop = () => timer.abort();
      stopped.signal.addEventListener("abort", onStop, { once: true });
      const wait = setTimeout(() => timer.abort(), graceMs);
      const changed = await controller.changed(revision, { signal: timer.signal })
        .then(() => true, () => false);
      clearTimeout(wait);
      stopped.signal.removeEventListener("abort", onStop);
      if (!changed) return resolve();
      graceMs = IDLE_END_MS;
    }
  })().catch(() => {});
  return { ended, stop: () => stopped.abort() };
}
