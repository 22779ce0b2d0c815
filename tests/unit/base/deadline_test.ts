import assert from "node:assert/strict";
import { withDeadline } from "../../../src/base/deadline.ts";

Deno.test("withDeadline: an answer that came in time counts, also when this process was held up past the end", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using client = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  using server = await listener.accept();
  const answer = withDeadline(
    { waitingFor: "An answer", timeoutMs: 50 },
    () => server.read(new Uint8Array(1)),
  );
  await client.write(new Uint8Array(1));
  // As after SIGSTOP and SIGCONT: no turn of the event loop until the time is over.
  for (const end = performance.now() + 150; performance.now() < end;);
  assert.equal(await answer, 1);
});

Deno.test("withDeadline: what does not come is named, with what was seen last", async () => {
  await assert.rejects(
    withDeadline(
      { waitingFor: "The guest", timeoutMs: 20, lastSeen: () => "smoke" },
      (signal) => new Promise((_, reject) => signal.onabort = () => reject(signal.reason)),
    ),
    { code: "timeout", message: "The guest took longer than 20 ms; seen last: smoke" },
  );
});
