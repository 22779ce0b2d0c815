/**
 * A guest that lies. Each row is an answer that no honest agent gives; the host must say so, give
 * the stream back, and go on.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { RumError } from "../../../src/base/errors.ts";
import { AgentCall } from "../../../src/guest/agent_call.ts";
import { connectAgent } from "../../../src/guest/agent_client.ts";
import { FileTarget } from "../../../src/guest/copy_target.ts";
import { encodeJson, encodeRecord, KIND } from "../../../src/protocol/calls.ts";
import { newToken, proofOf } from "../../../src/protocol/proof.ts";
import { empty, helloInfo } from "../../../src/protocol/agent.ts";
import { MemoryTokens } from "../../support/agent_in_process.ts";
import { type Answer, HELLO, hostile, say } from "../../support/hostile_guest.ts";

const raw = (...bytes: number[]) => Uint8Array.from(bytes);
const finalText = (text: string) => encodeRecord(KIND.final, new TextEncoder().encode(text));

const LIES: readonly [string, Answer][] = [
  ["ends without an answer", say()],
  ["ends inside a head", say(raw(1, 0))],
  ["ends inside a payload", say(raw(1, 0, 0, 0, 9, 123))],
  ["sends a record of unknown kind", say(raw(77, 0, 0, 0, 0))],
  ["announces 4 GiB", say(raw(1, 255, 255, 255, 255))],
  ["announces one byte too much of output", say(raw(6, 0, 1, 0, 1))],
  ["answers no JSON", say(finalText("{"))],
  ["answers bytes that are no UTF-8", say(encodeRecord(KIND.final, raw(34, 255, 34)))],
  ["nests 100,000 deep", say(finalText("[".repeat(100_000)))],
  ["answers an array", say(finalText("[]"))],
  ["answers wrong types", say(encodeJson(KIND.final, { ok: { listeners: [{ port: "22" }] } }))],
  [
    "answers a port out of range",
    say(encodeJson(KIND.final, {
      ok: { listeners: [{ port: 70000, address: "", family: "IPv4", uid: 0 }] },
    })),
  ],
  ["answers null", say(encodeJson(KIND.final, { ok: null }))],
  ["answers __proto__", say(finalText('{"ok":{"__proto__":{"listeners":[]}}}'))],
  ["sends output where none is due", say(encodeRecord(KIND.out, raw(1)))],
  ["makes an error of the wrong shape", say(encodeJson(KIND.final, { error: "no" }))],
];

for (const [what, answer] of LIES) {
  Deno.test(`a guest that ${what} has lied, and the next call is served`, async () => {
    using guest = hostile(answer);
    for (let i = 0; i < 2; i++) {
      await assert.rejects(guest.client.listeners(), (error) => {
        assert.ok(error instanceof RumError);
        assert.equal(error.code, "agent_lied", error.message);
        return true;
      });
    }
  });
}

Deno.test("an endless answer ends with the call's deadline and the stream is given back", async () => {
  using guest = hostile(async (writer) => {
    for (;;) await writer.write(encodeJson(KIND.event, { seq: 1, kind: "note", at: 0 }));
  });
  const cancel = new AbortController();
  let events = 0;
  await assert.rejects(
    guest.client.provision({ scripts: [], run: "due" }, () => {
      if (++events === 1000) cancel.abort(new RumError("timeout", "Waiting for provisioning"));
    }, { signal: cancel.signal }),
    { code: "timeout" },
  );
  while (guest.held() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
});

Deno.test("a guest that never answers runs into the deadline, which names the method", async () => {
  using guest = hostile(() => new Promise(() => {}));
  await assert.rejects(guest.client.listeners({ timeoutMs: 50 }), {
    code: "timeout",
    message: "The guest agent's answer to listeners took longer than 50 ms",
  });
});

Deno.test("the guest's words are stripped of terminal controls", async () => {
  const evil = "\x1b]0;title\x07\x1b[2Jx\r\u202ey";
  using guest = hostile(say(
    encodeJson(KIND.event, {
      seq: 1,
      kind: "lines",
      at: 0,
      script: evil,
      lines: [{ at: 0, stream: "out", text: `${evil}\nforged` }],
    }),
    encodeJson(KIND.final, {
      ok: {
        bootId: "b",
        ok: false,
        failed: { name: evil, reason: evil, tail: [evil] },
        ran: [],
        skipped: [],
      },
    }),
  ));
  const seen: unknown[] = [];
  const result = await guest.client.provision(
    { scripts: [], run: "due" },
    (event) => void seen.push(event),
  );
  const text = JSON.stringify([seen, result]);
  assert.doesNotMatch(text, /\\u001b|\\u202e|\\r|\u202e/);
  assert.match(text, /xy forged/);
  assert.deepEqual(result.failed?.tail, ["xy"]);
});

for (
  const [what, payload] of [["of 3 bytes", raw(0, 0, 1)], [
    "past 2^53",
    raw(255, 0, 0, 0, 0, 0, 0, 0),
  ]] as const
) {
  Deno.test(`a run of zeros ${what} inside a file is a lie`, async () => {
    using guest = hostile(say(encodeRecord(KIND.zeros, payload)));
    const sink = { meta() {}, data() {}, zeros() {} };
    await assert.rejects(guest.client.readFile("/x", sink), { code: "agent_lied" });
  });
}

Deno.test("a guest that begins one file fifty times has lied, and leaves nothing in the user's folder", async () => {
  const folder = await Deno.makeTempDir({ prefix: "rum-metas-" });
  const meta = { type: "file", size: 1, mode: 0o644, mtimeMs: 0, uid: 0, gid: 0 };
  const begin = encodeJson(KIND.event, meta);
  using guest = hostile(say(...Array.from({ length: 50 }, () => begin)));
  // Only what lies in this folder: other tests of this process open files as well.
  const open = () =>
    [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
      try {
        return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith(`${folder}/`);
      } catch {
        return false;
      }
    });
  {
    using sink = new FileTarget(`${folder}/f`);
    await assert.rejects(guest.client.readFile("/f", sink), {
      code: "agent_lied",
      message: /began a file inside another/,
    });
  }
  assert.deepEqual([...Deno.readDirSync(folder)], []);
  assert.deepEqual(open(), []);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a guest's error keeps a known code, loses the host's own ones and its escapes", async () => {
  for (
    const [code, wanted] of [
      ["exec_failed", "exec_failed"],
      ["internal", "agent_error"],
      ["interrupted", "agent_error"],
      ["made_up", "agent_error"],
      ["__proto__", "agent_error"],
    ]
  ) {
    using guest = hostile(
      say(encodeJson(KIND.final, { error: { code, message: "\x1b[31mno\nreally" } })),
    );
    await assert.rejects(guest.client.listeners(), { code: wanted, message: "no really" });
  }
});

Deno.test("random bytes are a lie or an answer, never anything else", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
      using guest = hostile(say(bytes));
      try {
        await using call = await AgentCall.open(guest.mux, "anything", {});
        await call.result(empty);
      } catch (error) {
        assert.ok(error instanceof RumError, String(error));
        assert.ok(error.code === "agent_lied" || error.code === "agent_error", error.code);
      }
    }),
    { numRuns: Deno.env.get("FULL") === "1" ? 5000 : 300 },
  );
});

Deno.test("what answers without the token is not the agent, and gets no proof from us", async () => {
  const nonce = "00".repeat(32);
  using guest = hostile(async (writer) => {
    const proof = await proofOf(newToken(), "agent", { host: nonce, agent: nonce });
    await writer.write(encodeJson(KIND.event, { nonce, proof, protocol: 1, token: "seed" }));
  });
  const tokens = new MemoryTokens(newToken());
  await assert.rejects(connectAgent(guest.mux, { tokens }), { code: "unauthorized" });
  assert.deepEqual(tokens.steps, []);
});

Deno.test("hello without a challenge is a lie", async () => {
  using guest = hostile(say(encodeJson(KIND.final, { ok: helloInfo(HELLO, "") })));
  await assert.rejects(connectAgent(guest.mux, { tokens: new MemoryTokens(newToken()) }), {
    code: "agent_lied",
  });
});
