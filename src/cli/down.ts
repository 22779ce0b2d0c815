/** `rum down`: services, then ACPI, then force when the time is over. Deletes nothing. */
import { EXIT } from "../base/errors.ts";
import { durationOption } from "./globals.ts";
import { lateness } from "./lateness.ts";
import { stopMachine } from "./stop_machine.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

const LOCK_WAIT_MS = 60_000;

export async function run(context: Context, call: VerbCall): Promise<number> {
  const target = await targetOf(context);
  const force = call.options.force === true;
  const timeoutMs = typeof call.options.timeout === "string"
    ? durationOption("--timeout", call.options.timeout)
    : undefined;
  using late = lateness(
    context,
    "down",
    "rum status",
    () => "the machine is left to go off by itself",
  );
  const stopped = stopMachine(context, target, {
    operation: "down",
    params: { force, ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }) },
    alone: (client, standard) => ({
      kind: "down",
      client,
      force,
      timeoutMs: timeoutMs ?? standard,
    }),
    deadlineMs: LOCK_WAIT_MS + (timeoutMs ?? 0),
  });
  const result = await Promise.race([stopped, late.never]);
  const did = String(result?.did ?? "nothing");
  context.out.document("down", { did, id: target.id, exit: Number(result?.exit ?? 0) }, () => {
    switch (did) {
      case "nothing":
        return "The machine is not running.";
      case "forced":
        if (force) return "As asked, the machine was powered off; nothing was deleted.";
        return "The machine did not go off in time and was powered off; nothing was deleted.";
      default:
        return "The machine is off; nothing was deleted.";
    }
  });
  return Number(result?.exit ?? EXIT.ok);
}
