/** What libvirt's states mean, in sequences as polls and events have been seen to bring them. */
import assert from "node:assert/strict";
import { createTranslator, watchWorld } from "../../../src/daemon/world.ts";
import type { MachineEvent, MachineStatus } from "../../../src/libvirt/hypervisor.ts";

/** `running`, `paused starting` …: the state and libvirt's reason → what is told of each. */
function told(...states: string[]): string[][] {
  const translate = createTranslator();
  return states.map((text) => {
    const [state, reason = ""] = text.split(" ");
    const status = { state, reason } as MachineStatus;
    return translate({ kind: "state", status }).map((news) => {
      if (news.kind === "power") return news.on ? "power" : "no power";
      return news.kind === "off_seen" ? `off_seen ${news.how}` : news.kind;
    });
  });
}

const STORIES: [string, string[], string[][]][] = [
  ["a start", ["absent", "running"], [["no power"], ["power", "on_seen"]]],
  [
    "a start of which a look met the stopped processors",
    ["absent", "paused starting", "running", "running"],
    [["no power"], ["power"], ["on_seen"], []],
  ],
  ["a machine that runs when we come", ["running", "off shutdown"], [["power"], [
    "no power",
    "off_seen guest",
  ]]],
  [
    "a machine that starts when we come",
    ["paused starting", "running"],
    [["power"], ["resumed_seen"]],
  ],
  [
    "a pause from outside, and its end",
    ["running", "paused user", "running"],
    [["power"], ["paused_seen"], ["resumed_seen"]],
  ],
  ["a machine that is paused when we come", ["paused user"], [["power", "paused_seen"]]],
  [
    "off and on again",
    ["running", "off forced_off", "paused starting", "running", "shutting_down", "off shutdown"],
    [["power"], ["no power", "off_seen outside"], ["power"], ["on_seen"], [], [
      "no power",
      "off_seen guest",
    ]],
  ],
  [
    "a crash is told once",
    ["running", "crashed panicked", "off crashed"],
    [["power"], ["no power", "off_seen crashed"], []],
  ],
];

for (const [name, states, wanted] of STORIES) {
  Deno.test(`world: ${name}`, () => assert.deepEqual(told(...states), wanted));
}

Deno.test("world: a QEMU that lived from a launch's look to the next poll only is seen to go off", () => {
  const listeners = new Set<(event: MachineEvent) => void>();
  const told: string[] = [];
  const off = { state: "off", reason: "crashed" } as const;
  const world = watchWorld({
    watch(listener) {
      listeners.add(listener);
      return { [Symbol.dispose]: () => void listeners.delete(listener) };
    },
  }, {
    observe: (fact) => void told.push(fact.kind),
    power: (on) => void told.push(on ? "power" : "no power"),
  });
  const [first] = listeners;
  first({ kind: "state", status: off });
  world.looked({ state: "running", reason: "booted" });
  assert.equal(listeners.size, 1);
  const [second] = listeners;
  second({ kind: "state", status: off });
  assert.deepEqual(told, ["no power", "power", "on_seen", "no power", "off_seen"]);
  world[Symbol.dispose]();
  world.looked({ state: "running", reason: "booted" });
  assert.deepEqual([listeners.size, told.length], [0, 5]);
});
