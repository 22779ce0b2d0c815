/**
 * The way from a verb to the machine's daemon. Two kinds of verbs: those that may start one (`up`),
 * and those that talk to a running machine and heal a missing daemon, saying so in one line.
 */
import { RumError } from "../base/errors.ts";
import { connectDaemon, type DaemonClient } from "../daemon/client.ts";
import { lastingCommand, PACKED_FILE, selfCommand } from "../daemon/self_command.ts";
import { confirmed } from "./confirm.ts";
import { type HearingClient, unlessDeaf } from "./deafness.ts";
import type { Target } from "./target.ts";
import type { Context } from "./verb.ts";

/** Starts the daemon when there is none; for `up`. `timeoutMs`: what is left of the verb's own time. */
export async function startedDaemon(
  context: Context,
  target: Target,
  timeoutMs = context.globals.timeoutMs,
): Promise<DaemonClient> {
  // The daemon is there nearly always; what starts one is not loaded for that.
  const { ensureDaemon } = await import("../daemon/launcher.ts");
  return await ensureDaemon({
    id: target.id,
    paths: target.paths,
    env: context.env,
    signal: context.signal,
    mayEndHung: true,
    note: (text) => context.out.note(text),
    // Releasing leaves the machine as it is, so a script need not be asked.
    onOtherVersion: (refusal) =>
      confirmed(context, `${refusal.message}. Replace it? The machine runs on.`, {
        hint: "rum daemon restart",
      }),
    command: daemonCommand(target),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}

export function daemonCommand(target: Target): string[] {
  return selfCommand(serveArguments(target));
}

/** The same for a file that is read after the next upgrade of rum. */
export function lastingDaemonCommand(context: Pick<Context, "env">, target: Target): string[] {
  return lastingCommand(serveArguments(target), context.env[PACKED_FILE]);
}

function serveArguments(target: Target): string[] {
  const config = target.configPath === undefined ? [] : ["--config", target.configPath];
  return [...config, "up", "--serve", target.id];
}

/** A daemon on a host with ten programs per processor is slow and not hung. */
const HELLO_MS = 10_000;

/**
 * The daemon of a machine that runs. When it died and the machine lives on, a new one is started.
 *
 * `timeoutMs`: the verb's own time, where it has one; it is kept while the daemon is being reached.
 *
 * @throws {RumError} `not_running`, and starts nothing, when the machine is off; `timeout`
 */
export async function daemonClient(
  context: Context,
  target: Target,
  timeoutMs = context.globals.timeoutMs,
): Promise<HearingClient> {
  const end = performance.now() + (timeoutMs ?? Infinity);
  const helloMs = Math.min(HELLO_MS, timeoutMs ?? Infinity);
  try {
    const client = await connectDaemon(target.paths, { signal: context.signal, helloMs });
    return unlessDeaf(client, target);
  } catch (thrown) {
    if (thrown instanceof RumError && thrown.code === "daemon_hung" && helloMs === timeoutMs) {
      throw new RumError("timeout", `${thrown.message}, which is all of --timeout`, {
        hint: "rum status",
        cause: thrown,
      });
    }
    if (!(thrown instanceof RumError) || thrown.code !== "daemon_unreachable") throw thrown;
    if (!await isPowered(target)) {
      throw new RumError("not_running", "The machine is not running", { hint: "rum up -d" });
    }
    const { livingHolder } = await import("../daemon/probe.ts");
    // A holder of the lock is one that starts or ends just now, and is waited for.
    if (await livingHolder(target.paths.lock) === undefined) {
      context.out.note(
        `The machine's background process was gone; starting a new one (log of the old: ${target.paths.daemonLog})`,
      );
    }
    const left = timeoutMs === undefined ? undefined : leftUntil(end);
    return unlessDeaf(await startedDaemon(context, target, left), target);
  }
}

/** What is left of a time that ends at `end`; never nothing, so that its end is told as one. */
export function leftUntil(end: number): number {
  return Math.max(1, Math.round(end - performance.now()));
}

/** As recorded: QEMU lives by pid and start time, or the record says so and cannot be checked. */
async function isPowered(target: Target): Promise<boolean> {
  const { recordedPower } = await import("../store/recorded_power.ts");
  return await recordedPower(target.paths) === "on";
}
