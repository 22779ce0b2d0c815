import assert from "node:assert/strict";
import type { MachineEvent } from "../../../src/protocol/machine_events.ts";
import { createObserver } from "../../../src/ui/observer.ts";
import { createOutput, type OutputMode } from "../../../src/ui/output.ts";

const head = { v: 1, at: "2026-11-27T00:00:00.000Z" } as const;
const EVENTS: readonly MachineEvent[] = [
  {
    ...{ ...head, seq: 1, kind: "phase", phase: "starting", from: "absent" },
    ...{ text: "starting (greeting)", owner: "detached", first_boot: "under_way" },
  },
  { ...head, seq: 2, kind: "warning", text: "a port is taken" },
  { ...head, seq: 3, kind: "note", text: "the image is this one" },
] as MachineEvent[];

function shown(mode: OutputMode, quiet: boolean): string {
  let text = "";
  const writeSync = (bytes: Uint8Array) => {
    text += new TextDecoder().decode(bytes);
    return bytes.length;
  };
  const stream = { writeSync };
  const options = { mode, colour: false, verbose: false, quiet, stdout: stream, stderr: stream };
  const terminal = { columns: () => 80, write: (more: string) => void (text += more) };
  {
    using observer = createObserver({ out: createOutput(options), terminal, now: () => 0 });
    for (const event of EVENTS) observer.event(event);
  }
  return text;
}

Deno.test("-q: no progress, neither as lines nor drawn; a warning is told all the same", () => {
  assert.equal(shown("plain", true), "warning: a port is taken\n");
  assert.equal(shown("interactive", true), "warning: a port is taken\n");
  assert.match(shown("plain", false), /starting \(greeting\)\n.*warning: .*\n.*the image is this/);
  assert.match(shown("interactive", false), /Start the machine/);
});

Deno.test("-q with -o json: a program that follows loses no event", () => {
  assert.equal(shown("json", true), shown("json", false));
  assert.equal(shown("json", true).split("\n").length, EVENTS.length + 1);
});
