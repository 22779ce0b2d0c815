/**
 * A guest's answers: an honest agent's, mutated. What comes of each is a result that fits, without a
 * control character in it, or a named error; and names of a tree stay below its top.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { RumError } from "../../src/base/errors.ts";
import { connectAgent } from "../../src/guest/agent_client.ts";
import { encodeJson, encodeRecord, encodeZeros, KIND } from "../../src/protocol/calls.ts";
import { newToken } from "../../src/protocol/proof.ts";
import { MemoryTokens } from "../support/agent_in_process.ts";
import { hostile, say } from "../support/hostile_guest.ts";
import { joined, mutated } from "./mutate.ts";
import type { Target } from "./target.ts";

type Guest = ReturnType<typeof hostile>;
interface Method {
  readonly honest: Uint8Array;
  readonly ask: (guest: Guest) => Promise<unknown>;
}

const CONTENT = new TextEncoder().encode("content of a file\n");
const DIGEST = {
  sha256: createHash("sha256").update(CONTENT).digest("hex"),
  bytes: CONTENT.length,
};
const META = { size: 18, mode: 0o644, mtimeMs: 1, uid: 0, gid: 0 };
const final = (ok: unknown) => encodeJson(KIND.final, { ok });
const entry = (path: string, type: string) =>
  encodeJson(KIND.event, { path, meta: { ...META, type } });
const nowhere = { data() {}, zeros() {} };

const METHODS: Readonly<Record<string, Method>> = {
  listeners: {
    honest: final({
      listeners: [{ port: 22, address: "0.0.0.0", family: "IPv4", uid: 0 }, {
        port: 80,
        address: "::",
        family: "IPv6",
        uid: 33,
      }],
    }),
    ask: ({ client }) => client.listeners(),
  },
  logs: { honest: final({ text: "a\nb\n" }), ask: ({ client }) => client.logs(100) },
  stats: {
    honest: final({
      uptimeMs: 1.5,
      load: [0, 1, 2],
      memory: { totalBytes: 2, availableBytes: 1 },
      processes: 3,
      agentRssBytes: 4,
    }),
    ask: ({ client }) => client.stats(),
  },
  apply: {
    honest: final({ outcomes: [{ item: "user rum", state: "done", message: "made" }] }),
    ask: ({ client }) => client.apply({}),
  },
  provision: {
    honest: joined(
      encodeJson(KIND.event, { seq: 1, kind: "begin", at: 0, script: "system" }),
      encodeJson(KIND.event, {
        seq: 2,
        kind: "lines",
        at: 0,
        script: "system",
        lines: [{ at: 0, stream: "out", text: "hello" }],
      }),
      final({
        bootId: "b",
        ok: false,
        failed: { name: "system", code: 3, reason: "exit code 3", tail: ["x"] },
        ran: [{ name: "system", runOn: "system", code: 3, ms: 4 }],
        skipped: ["boot"],
      }),
    ),
    async ask({ client }) {
      const events: unknown[] = [];
      const take = (event: unknown) => void events.push(event);
      return [await client.provision({ scripts: [], run: "due" }, take), events];
    },
  },
  stat: {
    honest: final({ ...META, type: "link", target: "/etc" }),
    async ask({ client }) {
      // A link's target is data, as the guest has it.
      const { target: _, ...rest } = await client.stat("/x");
      return rest;
    },
  },
  "read a file": {
    honest: joined(
      encodeJson(KIND.event, { ...META, type: "file" }),
      encodeRecord(KIND.data, CONTENT),
      encodeZeros(0),
      final(DIGEST),
    ),
    ask: ({ client }) =>
      client.readFile("/x", { meta() {}, ...nowhere }, {
        bounds: { maxBytes: 2 ** 20, maxEntries: 100 },
      }),
  },
  "read a tree": {
    honest: joined(
      entry("", "folder"),
      entry("a", "folder"),
      entry("a/b", "file"),
      encodeRecord(KIND.data, CONTENT),
      encodeJson(KIND.end, { path: "a/b", digest: DIGEST }),
      final({ entries: 3, bytes: CONTENT.length }),
    ),
    async ask({ client }) {
      await client.readTree("/x", {
        entry({ path }) {
          assert.doesNotMatch(path, /^\/|(^|\/)\.\.(\/|$)|\0/, "a name leads out of the tree");
        },
        ...nowhere,
        fileEnd() {},
        refused() {},
      }, { bounds: { maxBytes: 2 ** 20, maxEntries: 100 } });
    },
  },
  hello: {
    honest: encodeJson(KIND.event, {
      nonce: "00".repeat(32),
      proof: "00".repeat(32),
      protocol: 1,
      token: "seed",
    }),
    async ask({ mux }) {
      await connectAgent(mux, { tokens: new MemoryTokens(newToken()) });
      assert.fail("A hello without the token was taken");
    },
  },
};
const WORDS = [
  "\\u001b[2J",
  "\\u202e",
  "\x1b]0;x\x07",
  "..",
  "/",
  "../",
  "null",
  "-1",
  "1e999",
  '"__proto__":',
  "{}",
  "[]",
  '{"error":{"code":"internal","message":"x"}}',
].map((word) => new TextEncoder().encode(word));
/** What a guest may bring about on the host; its lies and its own failures, nothing else. */
const CODES = new Set(["agent_lied", "agent_error", "too_large", "unauthorized", "agent_newer"]);

export const agentAnswers: Target = {
  name: "agent",
  async once(random, show) {
    const name = random.pick(Object.keys(METHODS));
    const bytes = mutated(random, [METHODS[name].honest], WORDS);
    show(bytes);
    using guest = hostile(say(bytes));
    try {
      const result = await METHODS[name].ask(guest);
      const shown = JSON.stringify(result ?? null).replaceAll("\\n", "").replaceAll("\\t", "");
      assert.doesNotMatch(shown, /\\u00[01]|\\[bfr]|\u202e|[\x7f-\x9f]/, `${name}: a control`);
    } catch (thrown) {
      if (!(thrown instanceof RumError)) throw thrown;
      assert.ok(CODES.has(thrown.code) || honest(thrown.code), `${name}: ${thrown.code}`);
      assert.doesNotMatch(thrown.message, /[\x00-\x1f\x7f-\x9f]/, `${name}: ${thrown.code}`);
    }
  },
};

/** Codes that an honest agent's errors may have. */
function honest(code: string): boolean {
  return ["exec_failed", "no_such_file", "disk_full", "permission_denied"].includes(code);
}
