/**
 * qmp, keys, type, screenshot, stats: what is asked of the hypervisor, never of the guest; they work
 * where no agent answers. None of them changes what rum knows of the machine, so none waits for an
 * operation under way; a monitor command that could is refused unless asked for as unsafe.
 */
import type { Clock } from "../../base/clock.ts";
import { RumError } from "../../base/errors.ts";
import { printableLine } from "../../base/printable.ts";
import type { HypervisorMachine } from "../../libvirt/hypervisor.ts";
import { anything, flag, integer, list, object, optional, text } from "../../protocol/shape.ts";
import { type CallIo, CHUNK_BYTES, method, type MethodTable } from "../../wire/rpc_types.ts";
import { chordOf, chordsOfText } from "../key_codes.ts";
import { notRunning, takeScreenshot } from "../screen.ts";
import { STATS_EVERY_MS, type StatsRing } from "../stats_ring.ts";

export interface HypervisorMethodsOptions {
  readonly machine: () => HypervisorMachine;
  readonly powered: () => boolean;
  readonly stats: StatsRing;
  readonly clock: Clock;
}

const HOLD_MS = 20;
/** Between chords: the guest's keyboard has a small queue, and what is over is lost without a word. */
const PAUSE_MS = 40;

export function hypervisorMethods(options: HypervisorMethodsOptions): MethodTable {
  const { powered, stats, clock } = options;
  const machine = () => {
    if (!powered()) throw notRunning();
    return options.machine();
  };
  const press = async (chords: readonly (readonly number[])[], io: CallIo) => {
    for (const codes of chords) {
      await machine().sendKeys(codes, { holdMs: HOLD_MS, signal: io.signal });
      await clock.sleep(PAUSE_MS, { signal: io.signal });
    }
    return { pressed: chords.length };
  };

  return {
    qmp: method({
      params: object({ command: text(128), arguments: optional(anything()), unsafe: flag() }),
      kind: "stream",
      async handle(_context, { command, arguments: given, unsafe }, io) {
        if (!isQuery(command) && !unsafe) {
          throw new RumError(
            "unsafe_refused",
            `Cannot run "${
              printableLine(command, 128)
            }": it may change the machine behind rum's back`,
            { hint: `rum qmp --unsafe ${printableLine(command, 128)}` },
          );
        }
        const request = { execute: command, ...(given === undefined ? {} : { arguments: given }) };
        return { answer: answerOf(await machine().monitorCommand(request, { signal: io.signal })) };
      },
    }),
    keys: method({
      params: object({ keys: list(text(256), 256) }),
      kind: "stream",
      handle: (_context, { keys }, io) => press(keys.map(chordOf), io),
    }),
    type: method({
      params: object({ text: text(64 * 1024) }),
      kind: "stream",
      handle: (_context, params: { text: string }, io) => press(chordsOfText(params.text), io),
    }),
    screenshot: method({
      params: object({ every_ms: optional(integer(100)) }),
      kind: "stream",
      async handle(_context, { every_ms }, io) {
        for (;;) {
          const { png, width, height } = await takeScreenshot(machine(), io.signal);
          for (let at = 0; at < png.length; at += CHUNK_BYTES) {
            await io.emit({
              stream: "data",
              data: png.subarray(at, at + CHUNK_BYTES).toBase64(),
            });
          }
          // One `end` a picture.
          await io.emit({ stream: "data", data: "", end: true });
          if (every_ms === undefined) return { width, height, bytes: png.length };
          await clock.sleep(every_ms, { signal: io.signal });
        }
      },
    }),
    stats: method({
      params: object({ watch_ms: optional(integer(100)), history: flag() }),
      kind: "stream",
      async handle(_context, { watch_ms, history }, io) {
        if (history) return { every_ms: STATS_EVERY_MS, samples: stats.history() };
        machine();
        if (watch_ms === undefined) return { sample: await stats.now(io.signal) };
        for (;;) {
          machine();
          io.offer(await stats.now(io.signal));
          await clock.sleep(watch_ms, { signal: io.signal });
        }
      },
    }),
  };
}

/** What QEMU itself calls a query changes nothing. */
function isQuery(command: string): boolean {
  return /^query-[a-z0-9-]+$/.test(command);
}

function answerOf(answer: unknown): unknown {
  const { return: value, error } = (answer ?? {}) as {
    return?: unknown;
    error?: { class?: unknown; desc?: unknown };
  };
  if (error === undefined) return value;
  throw new RumError(
    "monitor_error",
    `QEMU's monitor refused: ${printableLine(String(error.desc ?? "without a reason"), 1000)}`,
    { data: { class: String(error.class ?? "") } },
  );
}
