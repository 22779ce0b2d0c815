/**
 * What a daemon does without being asked: starts a machine that ran when its host went down, where
 * rum.toml says so, and takes pictures and counters as time goes by.
 */
import { type Clock, systemClock } from "../base/clock.ts";
import { toRumError } from "../base/errors.ts";
import type { Engine } from "./engine.ts";
import { isOff } from "./power.ts";
import { startScreenshotTask } from "./screenshot_task.ts";
import { createStatsRing, type StatsRing } from "./stats_ring.ts";

export interface OwnAccord extends Disposable {
  readonly stats: StatsRing;
}

export function actOfOwnAccord(
  engine: Engine,
  options: { readonly log: (text: string) => void; readonly clock?: Clock },
): OwnAccord {
  const { log, clock = systemClock } = options;
  const powered = () => !isOff(engine.hypervisorStatus.state);
  const stats = createStatsRing({
    read: (signal) => engine.machine().stats({ signal }),
    powered,
    clock,
  });
  const pictures = startScreenshotTask({
    task: () => engine.plan?.screenshotTask,
    defaultFolder: engine.paths.screenshots,
    machine: () => engine.machine(),
    running: () => engine.hypervisorStatus.state === "running",
    clock,
    log,
  });
  if (engine.lostWithHost) void startAgain(engine, log);
  return {
    stats,
    [Symbol.dispose]() {
      stats[Symbol.dispose]();
      pictures[Symbol.dispose]();
    },
  };
}

/** By rum.toml as it is now, approved as always; what does not work is said and left to the user. */
async function startAgain(engine: Engine, log: (text: string) => void): Promise<void> {
  const starts = engine.plan?.recovery.afterHostRestart === "start";
  engine.events.append({
    kind: "warning",
    text: starts
      ? "The machine was running when its host went down; it is started again"
      : "The machine was running when its host went down",
    ...(starts ? {} : { hint: "rum up -d" }),
  });
  if (!starts) return;
  try {
    await engine.want();
    await engine.controller.request({
      kind: "up",
      client: "recovery",
      detach: true,
      attach: false,
    });
  } catch (thrown) {
    const { code, message, hint = "rum up -d" } = toRumError(thrown);
    const text = `The machine was not started again: ${message}`;
    log(text);
    engine.events.append({ kind: "warning", text, code, hint });
  }
}
