import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { eventLine, sinceOption } from "../../../src/cli/events.ts";
import { linesOption, merged } from "../../../src/cli/log.ts";
import { chosenSources, sourceOf } from "../../../src/cli/log_sources.ts";
import { requireCondition } from "../../../src/cli/wait.ts";
import type { MachineEvent } from "../../../src/protocol/machine_events.ts";

const FILES = [
  "script-system.log",
  "script-boot.log",
  "boot.log",
  "daemon.log",
];
const ALL = FILES.map((file) => sourceOf(file, `/logs/${file}`)!);
const paths = (wanted?: string) => chosenSources(ALL, wanted).map(({ path }) => path.slice(6));

Deno.test("log: --source names a script, the console or the daemon", () => {
  const rows: [string | undefined, string[]][] = [
    ["system", ["script-system.log"]],
    ["boot", ["boot.log"]],
    ["script:boot", ["script-boot.log"]],
    ["script:system", ["script-system.log"]],
    ["daemon", ["daemon.log"]],
    [undefined, ["script-system.log", "script-boot.log"]],
  ];
  for (const [wanted, files] of rows) assert.deepEqual(paths(wanted), files, String(wanted));
  assert.equal(sourceOf("script-system.log.1", "x"), undefined);
  assert.deepEqual(chosenSources([ALL[2]], undefined), [ALL[2]]);
});

Deno.test("log: a source that does not exist names those that do", () => {
  assert.throws(
    () => paths("sytem"),
    (error) =>
      error instanceof RumError && error.code === "log_not_found" &&
      error.message.includes(`did you mean "system"`),
  );
});

Deno.test("log: several logs are one by time, and a line without a time stays with its neighbour", () => {
  const line = (source: number, text: string, second?: number) => ({
    source: ALL[source],
    line: {
      stream: "out" as const,
      text,
      ...(second === undefined ? {} : { at: `2026-11-21T10:00:0${second}.000Z` }),
    },
  });
  const all = [line(0, "a", 1), line(0, "a2"), line(0, "c", 3), line(1, "b", 2), line(1, "d", 4)];
  const texts = (lines: number) => merged(all, lines).map(({ line }) => line.text).join(" ");
  assert.equal(texts(Infinity), "a a2 b c d");
  assert.equal(texts(2), "c d");
});

Deno.test("log -n, events --since, wait --for: what is no number or condition is refused", () => {
  assert.deepEqual([linesOption(undefined), linesOption("7"), linesOption("0")], [
    100,
    7,
    Infinity,
  ]);
  assert.deepEqual([sinceOption(undefined), sinceOption("12")], [undefined, 12]);
  for (const good of ["agent", "ready", "port:22", "service:web", "exec:test -f /x"]) {
    requireCondition(good);
  }
  const bad = [
    () => linesOption("x"),
    () => linesOption("-1"),
    () => sinceOption("1h"),
    ...["", "port:0", "port:65536", "port:x", "exec:", "reedy"].map((what) => () =>
      requireCondition(what)
    ),
  ];
  for (const call of bad) {
    assert.throws(call, (error) => error instanceof RumError && error.exitCode === 2);
  }
});

Deno.test("events: every kind has a line, and its text cannot steer the terminal", async (t) => {
  const head = { v: 1 as const, at: "2026-11-21T10:00:00.000Z" };
  const events = [
    { ...head, seq: 1, kind: "operation", operation: "x", what: "up", state: "began" },
    { ...head, seq: 2, kind: "owner", state: "detached", why: "ready" },
    { ...head, seq: 3, kind: "progress", step: "image", text: "half" },
    { ...head, seq: 3, kind: "line", script: "system", stream: "err", text: "\x1b[2Joops\r" },
    { ...head, seq: 4, kind: "guest", what: "rebooted", text: "The guest rebooted" },
    { ...head, seq: 5, kind: "of-the-future", some: "thing" },
  ] as unknown as MachineEvent[];
  await t.assertSnapshot(events.map(eventLine).join("\n"));
});
