import assert from "node:assert/strict";
import { agentState } from "../../../src/daemon/status.ts";

Deno.test("status: an agent that did not come yet is waited for, and only one that was there is lost", () => {
  const transport = "vsock";
  const table = [
    ["stopped", { seen: false, transport: undefined }, "off"],
    ["starting", { seen: false, transport }, "waiting"],
    // The guest reboots, or its agent is being replaced.
    ["starting", { seen: true, transport }, "waiting"],
    ["failed", { seen: false, transport }, "waiting"],
    ["running", { seen: false, transport }, "waiting"],
    ["provisioning", { seen: true, transport }, "lost"],
    ["running", { seen: true, transport }, "lost"],
  ] as const;
  for (const [phase, link, word] of table) {
    assert.equal(agentState(phase, link), word, `${phase}, ${JSON.stringify(link)}`);
  }
});
