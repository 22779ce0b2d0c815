/**
 * `down` and `destroy` where no daemon runs: takes the machine's lock, opens the same engine as a
 * daemon would, answers the line protocol meanwhile (so that `status` and a second `down` are told),
 * sends one request and lets go.
 */
import { faultPoint } from "../base/fault.ts";
import type { Outcome } from "../machine/settle.ts";
import type { RequestInput } from "../machine/run.ts";
import { describePhase } from "../machine/state.ts";
import type { HostEnv, MachinePaths, RumPaths } from "../plan/paths.ts";
import type { MachineEvent } from "../protocol/machine_events.ts";
import { describeHolder, waitForFlock } from "../store/flock.ts";
import {
  ensureDataFolders,
  hasMachineFolder,
  removeMachineFolder,
} from "../store/machine_folder.ts";
import { loadState } from "../store/state_file.ts";
import type { Engine } from "./engine.ts";
import { openEngine } from "./open_engine.ts";
import { serveOneShot } from "./one_shot.ts";

export interface AloneOptions {
  readonly id: string;
  readonly paths: MachinePaths;
  readonly rum: RumPaths;
  readonly env: HostEnv;
  readonly operation: "down" | "destroy";
  readonly request: (engine: Engine) => RequestInput;
  readonly onEvent: (event: MachineEvent) => void;
  readonly deadlineMs: number;
  /** Counts until the request is made: what has begun then runs on to its end, and its end is told. */
  readonly signal?: AbortSignal;
  /** The request is about to be made. Disposed when it is answered; `force` powers the machine off now. */
  readonly begins?: (force: () => void) => Disposable;
  readonly log?: (text: string) => void;
}

/** Not longer: a daemon that took it meanwhile stays, and is to be asked instead. */
const LOCK_WAIT_MS = 300;

/**
 * @returns undefined when there is no such machine
 * @throws {RumError} `busy` with `data.holder` when somebody was faster
 */
export async function requestAlone(
  options: AloneOptions,
): Promise<(Outcome & { ok: true }) | undefined> {
  const { id, paths, rum, env, operation, signal } = options;
  if (!await hasMachineFolder(paths)) return undefined;
  await ensureDataFolders(rum);
  const holder = await describeHolder({
    role: "one-shot",
    operation,
    deadlineMs: options.deadlineMs,
  });
  await using lock = await waitForFlock(paths.lock, {
    holder,
    deadlineMs: LOCK_WAIT_MS,
    ...(signal === undefined ? {} : { signal }),
  });
  await faultPoint("alone.locked");
  // It may have gone while we waited.
  if (!await hasMachineFolder(paths)) return undefined;
  Deno.umask(0o077);
  if (await loadState(paths) === undefined) return await withoutRecord(options);
  const engine = await openEngine({ id, paths, rum, env, log: options.log ?? (() => {}) });
  const unfollow = engine.events.follow(options.onEvent);
  try {
    await using _voice = await serveOneShot({
      paths,
      lock,
      status: () => oneShotStatus(engine, operation),
    });
    signal?.throwIfAborted();
    const request = options.request(engine);
    using _interrupts = options.begins?.(() => {
      if (request.kind !== "down") return;
      // What comes of it is the answer of the request that it hurries.
      engine.controller.request({ ...request, force: true }).catch(() => {});
    });
    return await engine.controller.request(request);
  } finally {
    unfollow();
    if (engine.controller.snapshot().state.kind !== "over") {
      await engine.controller.request({ kind: "release" }).catch(() => {});
    }
    await engine.close();
  }
}

/** Nothing was ever recorded, or all but the folder is gone: no disk, nothing with the hypervisor. */
async function withoutRecord(
  { operation, rum, paths, signal }: AloneOptions,
): Promise<(Outcome & { ok: true }) | undefined> {
  if (operation === "down") return undefined;
  await removeMachineFolder(rum, paths, signal === undefined ? {} : { signal });
  return { ok: true, did: "destroyed", exit: 0 };
}

export function oneShotStatus(engine: Engine, operation: string): Record<string, unknown> {
  const { state } = engine.controller.snapshot();
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
}
