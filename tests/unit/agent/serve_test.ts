/** What one link takes at a time: calls and connections each have their own room. */
import assert from "node:assert/strict";
import type { AgentContext } from "../../../agent/context.ts";
import { type MethodTable, serveLink } from "../../../agent/serve.ts";
import { AgentCall } from "../../../src/guest/agent_call.ts";
import { empty } from "../../../src/protocol/agent.ts";
import { createMux } from "../../../src/wire/mux.ts";
import { duplexPair } from "../../../src/wire/pipe.ts";

/** A link whose `dial` holds its connection and whose `exec` runs, each until the host goes. */
async function bed() {
  const methods: MethodTable = {
    hello(call) {
      call.session.authenticated = true;
      return Promise.resolve({});
    },
    async dial(call) {
      const { readable, writer } = await call.switchToRaw({});
      await readable.pipeTo(new WritableStream());
      await writer.close();
    },
    exec: (call) =>
      new Promise((resolve) =>
        call.signal.addEventListener("abort", () => resolve({}), { once: true })
      ),
    stats: () => Promise.resolve({}),
  };
  const [a, b] = duplexPair();
  const mux = createMux(a, { role: "host" });
  const guest = createMux(b, { role: "guest" });
  const served = serveLink(guest, methods, {} as AgentContext);
  const ask = async (method: string) => {
    await using call = await AgentCall.open(mux, method, {});
    return await call.result(empty);
  };
  await ask("hello");
  return {
    mux,
    ask,
    async dial() {
      await using call = await AgentCall.open(mux, "dial", {});
      await call.result(empty);
      return call.raw();
    },
    async [Symbol.asyncDispose]() {
      mux.close();
      guest.close();
      await served;
    },
  };
}

Deno.test("a thousand idle connections hold up no other call; one too many is told that it is busy", async () => {
  await using link = await bed();
  const open = [];
  for (let i = 0; i < 1500; i++) open.push(await link.dial());
  await assert.rejects(link.dial(), {
    code: "busy",
    message: 'Cannot take "dial" in the guest: 1500 connections are open, which is the limit',
    hint: "rum port ls",
  });
  assert.deepEqual(await link.ask("stats"), {});
  // One goes, and there is room again.
  await open[0].writable.close();
  await new Response(open[0].readable).bytes();
  await link.dial();
});

Deno.test("one call too many is answered, not broken off, and hinders no connection", async () => {
  await using link = await bed();
  const cancel = new AbortController();
  const { signal } = cancel;
  const calls = [];
  for (let i = 0; i < 512; i++) {
    calls.push(await AgentCall.open(link.mux, "exec", {}, { signal }));
  }
  await assert.rejects(link.ask("stats"), {
    code: "busy",
    message: 'Cannot take "stats" in the guest: 512 calls are under way, which is the limit',
  });
  await link.dial();
  cancel.abort(new Error("done"));
});
