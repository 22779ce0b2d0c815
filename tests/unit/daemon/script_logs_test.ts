import assert from "node:assert/strict";
import { createScriptLogs, type ScriptLogs } from "../../../src/daemon/script_logs.ts";
import { type MachinePaths, machinePaths, rumPaths } from "../../../src/plan/paths.ts";
import type { ProvisionEvent } from "../../../src/protocol/agent.ts";
import type { EventBody } from "../../../src/protocol/machine_events.ts";
import { withFolder } from "../../support/folder.ts";

const GUEST = { bootId: "boot-1", instance: "first" };

/** Daemons of one machine, one after another; what is not disposed was killed. */
class Bed {
  readonly paths: MachinePaths;
  readonly events: EventBody[] = [];
  readonly path: string;

  constructor(folder: string) {
    this.paths = machinePaths(rumPaths({ uid: 1000, home: folder }), "deadbeef");
    this.path = this.paths.scriptLog("boot");
    Deno.mkdirSync(this.paths.logs, { recursive: true, mode: 0o700 });
  }

  daemon(): ScriptLogs {
    return createScriptLogs(this.paths, {
      emit: (event) => this.events.push(event),
      emitted: () => Promise.resolve(),
    });
  }

  /** What stands in the log, without times. */
  lines(): string[] {
    return Deno.readTextFileSync(this.path).split("\n").slice(0, -1)
      .map((line) => line.replace(/^\S+Z /, ""));
  }

  get noted(): string {
    return Deno.readTextFileSync(this.paths.scriptPosition);
  }
}

const test = (name: string, body: (bed: Bed) => Promise<void>) =>
  Deno.test(`script logs: ${name}`, () => withFolder((folder) => body(new Bed(folder))));

const of = { script: "boot", at: 0 };
const started: ProvisionEvent = { ...of, seq: 1, kind: "started" };
const lines = (seq: number, ...texts: string[]): ProvisionEvent => ({
  ...of,
  seq,
  kind: "lines",
  lines: texts.map((text) => ({ at: seq, stream: "out", text })),
});
const ended = (seq: number): ProvisionEvent => ({ ...of, seq, kind: "ended", code: 0, ms: 1 });

async function take(logs: ScriptLogs, ...events: ProvisionEvent[]): Promise<void> {
  for (const event of events) await logs.take(event);
}

test("when a script's end is taken, its log is whole on the host", async (bed) => {
  await using logs = bed.daemon();
  await take(logs, started, lines(2, "last words"), { ...of, seq: 3, kind: "ended", code: 5 });
  // At once: waiting for a file would give the writing its time.
  assert.match(Deno.readTextFileSync(bed.path), /\| last words\n.*! \[ended with 5\]\n$/);
});

test("a daemon that follows a killed one asks only for what the logs do not have", async (bed) => {
  const killed = bed.daemon();
  assert.deepEqual(await killed.resume(GUEST), { bootId: "boot-1", seq: 0 });
  await take(killed, started, lines(2, "a"), ended(3));
  await using next = bed.daemon();
  assert.deepEqual(await next.resume(GUEST), { bootId: "boot-1", seq: 3 });
});

test("a daemon that was stopped has noted its last line", async (bed) => {
  {
    await using stopped = bed.daemon();
    await stopped.resume(GUEST);
    await take(stopped, started, lines(2, "a"));
  }
  await using next = bed.daemon();
  assert.deepEqual(await next.resume(GUEST), { bootId: "boot-1", seq: 2 });
});

test("what was written but not noted when the daemon was killed is not written again", async (bed) => {
  const killed = bed.daemon();
  await killed.resume(GUEST);
  await take(killed, started);
  const { noted } = bed;
  await take(killed, lines(2, "y", "y"), lines(3, "y", "b"), ended(4));
  // As if it had died between the last lines and the note of them.
  await Deno.writeTextFile(bed.paths.scriptPosition, noted);
  await using next = bed.daemon();
  assert.deepEqual(await next.resume(GUEST), { bootId: "boot-1", seq: 1 });
  await take(next, lines(2, "y", "y"), lines(3, "y", "b"), ended(4), { ...started, seq: 5 });
  const once = ["! [started, boot boot-1]", "| y", "| y", "| y", "| b", "! [ended with 0]"];
  assert.deepEqual(bed.lines(), [...once, "! [started, boot boot-1]"]);
  assert.equal(bed.events.filter(({ kind }) => kind === "line").length, 4);
});

test("a daemon killed in mid-line: that line comes whole, and no other is lost", async (bed) => {
  const killed = bed.daemon();
  await killed.resume(GUEST);
  await take(killed, started);
  const { noted } = bed;
  await take(killed, lines(2, "one", "two", "three"), ended(3));
  await Deno.writeTextFile(bed.paths.scriptPosition, noted);
  const whole = await Deno.readTextFile(bed.path);
  await Deno.truncate(bed.path, whole.indexOf("two") + 1);
  await using next = bed.daemon();
  await next.resume(GUEST);
  await take(next, lines(2, "one", "two", "three"), ended(3));
  assert.deepEqual(bed.lines(), [
    "! [started, boot boot-1]",
    "| one",
    "| t",
    "| two",
    "| three",
    "! [ended with 0]",
  ]);
});

test("lines that went while no daemon was there are said to be gone, what came stays", async (bed) => {
  const killed = bed.daemon();
  await killed.resume(GUEST);
  await take(killed, started);
  const { noted } = bed;
  await take(killed, lines(2, "y"), ended(3));
  await Deno.writeTextFile(bed.paths.scriptPosition, noted);
  const next = bed.daemon();
  await next.resume(GUEST);
  // The same words at the same time: another line all the same.
  const same = { ...lines(9, "y"), lines: lines(2, "y").lines };
  await take(next, { seq: 8, at: 0, kind: "dropped", count: 7 }, same);
  await next[Symbol.asyncDispose]();
  assert.equal(bed.lines().filter((line) => line === "| y").length, 2);
});

test("an agent that was replaced in the same boot counts from 1 again, another boot too", async (bed) => {
  const first = bed.daemon();
  await first.resume(GUEST);
  await take(first, started, lines(2, "a"), ended(3));
  assert.equal((await first.resume({ ...GUEST, instance: "second" }))?.seq, 0);
  await using next = bed.daemon();
  assert.equal((await next.resume({ ...GUEST, bootId: "boot-2" }))?.seq, 0);
});

test("a position that cannot be read is none: the output is taken again", async (bed) => {
  const first = bed.daemon();
  await first.resume(GUEST);
  await take(first, started, ended(2));
  await Deno.writeTextFile(bed.paths.scriptPosition, bed.noted.slice(0, 9));
  await using next = bed.daemon();
  assert.equal((await next.resume(GUEST))?.seq, 0);
});
