/** What `rum doctor --fix` would run, from what was found. */
import assert from "node:assert/strict";
import { type Check, missingNeeds } from "../../../src/libvirt/host_checks.ts";
import { fixCommands, planFixes } from "../../../src/libvirt/host_fixes.ts";

const fine: Check = { id: "a", what: "A", need: "needed", ok: true, found: "there" };
const missing: Check = { ...fine, id: "b", ok: false, packages: ["libvirt0", "qemu-utils"] };
const useful: Check = { ...fine, id: "c", need: "useful", ok: false, packages: ["qemu-utils"] };
const user: Check = { ...fine, id: "d", ok: false, commands: [["useradd", "x"]] };

Deno.test("packages are installed once each, commands run after them", () => {
  const commands = fixCommands(planFixes([fine, missing, useful, user]));
  assert.deepEqual(commands.map((c) => c.join(" ")), [
    "apt-get update -q",
    "apt-get install -q -y --no-install-recommends libvirt0 qemu-utils",
    "useradd x",
  ]);
});

Deno.test("a host that lacks nothing gets no command", () => {
  assert.deepEqual(fixCommands(planFixes([fine])), []);
});

Deno.test("only what is needed and missing keeps a machine from starting", () => {
  assert.deepEqual(missingNeeds([fine, missing, useful, user]).map((c) => c.id), ["b", "d"]);
});
