/** A guest that answers whatever the test wants, over a real multiplexer, to the real client. */
import { AgentClient } from "../../src/guest/agent_client.ts";
import type { HelloInfo } from "../../src/protocol/agent.ts";
import { createMux } from "../../src/wire/mux.ts";
import type { Mux } from "../../src/wire/mux_types.ts";
import { duplexPair } from "../../src/wire/pipe.ts";

export type Answer = (writer: WritableStreamDefaultWriter<Uint8Array>) => Promise<void>;

export const HELLO: HelloInfo = {
  version: "0",
  digest: "0",
  instance: "i",
  bootId: "b",
  protocol: 1,
  capabilities: [],
  hostname: "h",
  addresses: [],
  os: { id: "", versionId: "", prettyName: "" },
  kernel: "",
  uptimeMs: 0,
  nowMs: 0,
  firstBootDone: false,
  doneScripts: {},
};

/** An agent that gives `answer` to every call; the streams it still holds are counted. */
export function hostile(
  answer: Answer,
): Disposable & { client: AgentClient; mux: Mux; held(): number } {
  const [a, b] = duplexPair();
  const host = createMux(a, { role: "host" });
  const guest = createMux(b, { role: "guest" });
  let held = 0;
  (async () => {
    for await (const { stream } of guest.incoming) {
      held++;
      const writer = stream.writable.getWriter();
      writer.closed.catch(() => {});
      answer(writer).catch(() => {}).finally(() => held--);
    }
  })();
  return {
    client: new AgentClient(host, HELLO),
    mux: host,
    held: () => held,
    [Symbol.dispose]() {
      host.close();
      guest.close();
    },
  };
}

/** Writes and ends; what it cannot write any more it gives up. */
export const say = (...parts: Uint8Array[]): Answer => async (writer) => {
  for (const part of parts) await writer.write(part);
  await writer.close();
};
