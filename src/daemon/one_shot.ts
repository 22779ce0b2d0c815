/**
 * `down` and `destroy` where no daemon runs: takes the machine's lock, opens the same engine as a
 * daemon would, serves the line protocol meanwhile (so that `status` and a second `down` get an
 * answer), sends one request and lets go.
 */
import { systemClock } from "../base/clock.ts";
import { RumError } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import type { Outcome } from "../machine/settle.ts";
import type { RequestInput } from "../machine/run.ts";
import { describePhase } from "../machine/state.ts";
import type { HostEnv, MachinePaths, RumPaths } from "../plan/paths.ts";
import type { MachineEvent } from "../protocol/machine_events.ts";
import { describeHolder, waitForFlock } from "../store/flock.ts";
import { ensureDataFolders, hasMachineFolder } from "../store/machine_folder.ts";
import { type Engine, openEngine } from "./engine.ts";
import { publishSocket } from "./publish.ts";
import { DaemonServer } from "./server.ts";
import { ensureToken, readToken } from "./token.ts";

export interface OneShotOptions {
  readonly id: string;
  readonly paths: MachinePaths;
  readonly rum: RumPaths;
  readonly env: HostEnv;
  readonly operation: "down" | "destroy";
  readonly request: (engine: Engine) => RequestInput;
  readonly onEvent: (event: MachineEvent) => void;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  readonly log?: (text: string) => void;
}

/** @returns undefined when there is no such machine */
export async function oneShot(
  options: OneShotOptions,
): Promise<(Outcome & { ok: true }) | undefined> {
  const { id, paths, rum, env, operation, signal } = options;
  if (!await hasMachineFolder(paths)) return undefined;
  await ensureDataFolders(rum);
  const holder = await describeHolder({
    role: "one-shot",
    operation,
    deadlineMs: options.deadlineMs,
  });
  await using _lock = await waitForFlock(paths.lock, {
    holder,
    deadlineMs: options.deadlineMs,
    ...(signal === undefined ? {} : { signal }),
  });
  // It may have gone while we waited.
  if (!await hasMachineFolder(paths)) return undefined;
  Deno.umask(0o077);
  const engine = await openEngine({ id, paths, rum, env, log: options.log ?? (() => {}) });
  const unfollow = engine.events.follow(options.onEvent);
  const served = await serveLines(engine, operation);
  try {
    return await engine.controller.request(options.request(engine), signal ? { signal } : {});
  } finally {
    unfollow();
    await served[Symbol.asyncDispose]();
    const { state } = engine.controller.snapshot();
    if (state.kind !== "over") await engine.controller.request({ kind: "release" }).catch(() => {});
    await engine.close();
  }
}

/** Whoever asks hears what is under way; frames are answered with `shutting_down` from the start. */
async function serveLines(engine: Engine, operation: string): Promise<AsyncDisposable> {
  const { paths, controller } = engine;
  await ensureToken(paths.daemonToken);
  const started = systemClock.monotonicMs();
  const ending = new AbortController();
  ending.abort(
    new RumError("shutting_down", `"rum ${operation}" has the machine and takes no other work`),
  );
  const status = () => {
    const { state } = controller.snapshot();
    return {
      id: engine.id,
      name: engine.record.name,
      phase: state.kind,
      text: describePhase(state),
      as_recorded: false,
      one_shot: operation,
      forwards: [],
      services: [],
      service_count: 0,
      running_instances: 0,
      degraded: [],
    };
  };
  const server = new DaemonServer({
    info: { version: VERSION, build: "one-shot", capabilities: [], configHash: () => undefined },
    methods: {},
    lines: {
      ping: () => ({
        version: VERSION,
        pid: Deno.pid,
        uptime_ms: systemClock.monotonicMs() - started,
      }),
      status,
      release: () => ({ releasing: false, pid: Deno.pid }),
      shutdown: () => Promise.reject(ending.signal.reason),
      destroy: () => Promise.reject(ending.signal.reason),
    },
    token: () => readToken(paths.daemonToken),
    shuttingDown: ending.signal,
    log: () => {},
  });
  const published = await publishSocket(paths);
  server.listen(published.listener, published.boundPath);
  return {
    async [Symbol.asyncDispose]() {
      await server.stopAccepting();
      await server.drain();
      await published.remove();
    },
  };
}
