import assert from "node:assert/strict";
import { Call } from "../../../agent/call.ts";
import { dialUdp } from "../../../agent/methods/dial_udp.ts";
import { duplexPair } from "../../../src/wire/pipe.ts";

function openSockets(): number {
  return [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith("socket:");
    } catch {
      return false;
    }
  }).length;
}

Deno.test("a UDP flow that ends while it is dialled leaves no socket behind", async () => {
  const before = openSockets();
  for (let i = 0; i < 3; i++) {
    const [host, guest] = duplexPair();
    const call = new Call("dial_udp", { port: 9, host: "127.0.0.1" }, guest, {
      authenticated: true,
    });
    host.abort(new Error("the flow's sender went"));
    await assert.rejects(dialUdp(call), /the flow's sender went/);
  }
  // A socket that was closed goes with the runtime's next turns.
  for (let turn = 0; openSockets() > before && turn < 1000; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.equal(openSockets(), before);
});
