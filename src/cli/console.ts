/**
 * `rum console`: the guest's serial console on this terminal, which works when nothing else in the
 * guest does. Ctrl+] leaves; the machine runs on. Without a terminal it passes bytes both ways until
 * Ctrl+C, `--timeout` or the machine's end.
 */
import { EXIT } from "../base/errors.ts";
import { daemonClient } from "./daemon_client.ts";
import { hostStdin, rawTerminal, writeFully } from "./exec_streams.ts";
import { untilInterrupted } from "./follow.ts";
import { targetOf } from "./target.ts";
import type { Context } from "./verb.ts";

/** Ctrl+], as telnet and virsh have it. */
const DETACH = 0x1d;
/** Colours off, cursor on: what a guest's program may have left behind. */
const SOBER = new TextEncoder().encode("\x1b[0m\x1b[?25h\r\n");

export async function run(context: Context): Promise<number> {
  const target = await targetOf(context);
  await using client = await daemonClient(context, target);
  using end = untilInterrupted(context);
  const left = new AbortController();
  const terminal = context.stdinIsTerminal;
  context.out.note(
    terminal ? "The serial console; Enter wakes it, Ctrl+] leaves it." : "The serial console.",
  );
  {
    using _raw = terminal ? rawTerminal() : undefined;
    try {
      await client.request("console", {}, {
        signal: AbortSignal.any([end.signal, left.signal]),
        input: untilDetached(hostStdin(), terminal, () => left.abort()),
        async onEvent(event) {
          if ("data" in event) await writeFully(Deno.stdout, Uint8Array.fromBase64(event.data));
        },
      });
    } catch (thrown) {
      if (!left.signal.aborted && !end.signal.aborted) throw thrown;
    } finally {
      if (terminal && context.stdoutIsTerminal) await writeFully(Deno.stdout, SOBER);
    }
  }
  if (end.signal.aborted) return end.exit();
  context.out.note(left.signal.aborted ? "Left; the machine runs on." : "The machine is off.");
  return EXIT.ok;
}

/** What is typed, up to the detach key; a pipe's bytes are all data, and its end is no end of ours. */
export function untilDetached(
  input: ReadableStream<Uint8Array>,
  terminal: boolean,
  detach: () => void,
): ReadableStream<Uint8Array> {
  if (!terminal) return input;
  return input.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(bytes, controller) {
        const at = bytes.indexOf(DETACH);
        if (at === -1) return controller.enqueue(bytes);
        if (at > 0) controller.enqueue(bytes.subarray(0, at));
        controller.terminate();
        detach();
      },
    }),
  );
}
