import assert from "node:assert/strict";
import type { EventBody, MachineEvent } from "../../../src/protocol/machine_events.ts";
import { frameOf } from "../../../src/ui/frame.ts";
import { plainText } from "../../../src/ui/observer.ts";
import { applyEvent, EMPTY_VIEW, type UpView } from "../../../src/ui/up_view.ts";

function phase(name: string, stage?: string, more: object = {}): EventBody {
  return {
    kind: "phase",
    phase: name,
    from: "x",
    text: stage === undefined ? name : `${name} (${stage})`,
    ...(stage === undefined ? {} : { stage }),
    owner: "attached",
    first_boot: "under_way",
    ...more,
  };
}

function play(rows: readonly (readonly [number, EventBody])[]): UpView {
  let view = EMPTY_VIEW;
  rows.forEach(([atMs, body], i) => {
    const event = { v: 1, seq: i + 1, at: "2026-11-21T00:00:00Z", ...body } as MachineEvent;
    view = applyEvent(view, event, atMs);
  });
  return view;
}

const BOOT: readonly (readonly [number, EventBody])[] = [
  [0, phase("preparing", "gathering")],
  [100, { kind: "progress", step: "image", text: "42 of 416 MiB", done: 42, total: 416 }],
  [900, phase("preparing", "publishing")],
  [1000, phase("starting", "launching")],
  [1500, phase("starting", "greeting")],
  [18_000, phase("provisioning", "scripts")],
  [18_100, { kind: "script", script: "system", state: "started" }],
];

const plain = { columns: 60, colour: false };

Deno.test("frame: a machine in its first provisioning, as a person sees it", () => {
  const view = play([
    ...BOOT,
    ...Array.from({ length: 7 }, (_, i): readonly [number, EventBody] => [
      18_200 + i,
      { kind: "line", script: "system", stream: "out", text: `Unpacking ${i}\x1b[2J` },
    ]),
  ]);
  assert.deepEqual(frameOf(view, { ...plain, nowMs: 20_000 }), [
    " ✓ 1. Prepare image and disks  1.0 s",
    " ✓ 2. Start the machine  500 ms",
    " ✓ 3. Boot until the agent answers  16.5 s",
    " ⠋ 4. Provision  2.0 s",
    "      system:",
    "      │ Unpacking 2",
    "      │ Unpacking 3",
    "      │ Unpacking 4",
    "      │ Unpacking 5",
    "      │ Unpacking 6",
  ]);
});

Deno.test("frame: a failed script keeps its last lines under the failed step", () => {
  const view = play([
    ...BOOT,
    [18_200, { kind: "line", script: "system", stream: "err", text: "E: no such package" }],
    [19_000, { kind: "script", script: "system", state: "failed", code: 100 }],
    [
      19_100,
      phase("failed", undefined, {
        cause: { code: "provision_failed", message: "Script system failed" },
      }),
    ],
  ]);
  const lines = frameOf(view, { ...plain, nowMs: 30_000 });
  assert.equal(lines[3], " ✗ 4. Provision  1.1 s");
  assert.equal(lines.at(-1), "      │ E: no such package");
  assert.equal(view.settled, true);
  assert.equal(view.cause?.code, "provision_failed");
});

Deno.test("frame: the last one of an interrupted start has no spinner, and many notes are the latest", () => {
  const view = play([
    ...BOOT.slice(0, 5),
    ...Array.from({ length: 11 }, (_, i): readonly [number, EventBody] => [
      2000,
      { kind: "warning", text: `note ${i}` },
    ]),
  ]);
  assert.deepEqual(frameOf(view, { ...plain, nowMs: 20_000, last: true }), [
    " ✓ 1. Prepare image and disks  1.0 s",
    " ✓ 2. Start the machine  500 ms",
    " – 3. Boot until the agent answers  18.5 s",
    "   • 3 more before (rum events)",
    ...[3, 4, 5, 6, 7, 8, 9, 10].map((i) => `   • note ${i}`),
  ]);
});

Deno.test("frame: no line reaches the terminal's last column, whatever the guest prints", () => {
  const view = play([
    ...BOOT,
    [18_300, { kind: "line", script: "system", stream: "out", text: "x".repeat(500) }],
  ]);
  for (const columns of [20, 60, 61, 200]) {
    for (const line of frameOf(view, { columns, colour: false, nowMs: 20_000 })) {
      assert.ok([...line].length < columns, `${columns}: ${line}`);
    }
  }
});

Deno.test("plain: progress that is not a beginning or an end is no line", () => {
  const event = (body: EventBody) => ({ v: 1, seq: 1, at: "", ...body }) as MachineEvent;
  assert.equal(
    plainText(event({ kind: "progress", step: "image", text: "x", done: 1, total: 2 })),
    undefined,
  );
  assert.equal(
    plainText(event({ kind: "progress", step: "image", text: "fetched", done: 2, total: 2 })),
    "image: fetched",
  );
  assert.equal(plainText(event(phase("starting", "greeting"))), "starting (greeting)");
});
