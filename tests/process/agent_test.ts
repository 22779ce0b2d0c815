/**
 * The agent as a real process: what issue 5 asks of exec under load, of death in mid-call, of memory
 * and of an upgrade in place. Sizes are a sample; FULL=1 makes them the issue's own.
 */
import assert from "node:assert/strict";
import { addresses } from "../../agent/facts.ts";
import { createHash } from "node:crypto";
import { agentProcess } from "../support/agent_process.ts";
import { execText } from "../support/agent_in_process.ts";
import { until } from "../support/folder_bed.ts";
import { sessionMembers } from "../../agent/exec/session_end.ts";

const FULL = Deno.env.get("FULL") === "1";
const READY = { timeoutMs: 30_000 };

/** Bytes that repeat nowhere near, in odd chunks. */
function* noise(bytes: number): Generator<Uint8Array> {
  let state = 1;
  for (let left = bytes; left > 0;) {
    const chunk = new Uint8Array(Math.min(left, 12_345));
    for (let i = 0; i < chunk.length; i++) {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      chunk[i] = state >>> 24;
    }
    left -= chunk.length;
    yield chunk;
  }
}

Deno.test("exec: megabytes through cat come back the same, stderr apart, exit 7", async () => {
  const size = (FULL ? 50 : 8) * 1024 * 1024;
  await using agent = await agentProcess();
  const client = await agent.session.ready(READY);
  const sent = createHash("sha256");
  const got = createHash("sha256");
  let bytes = 0;
  let err = "";
  const stdin = ReadableStream.from((function* () {
    for (const chunk of noise(size)) {
      sent.update(chunk);
      yield chunk;
    }
  })());
  const result = await client.exec({ argv: ["sh", "-c", "cat; echo err >&2; exit 7"] }, {
    stdin,
    stdout(chunk) {
      bytes += chunk.length;
      got.update(chunk);
    },
    stderr: (chunk) => void (err += new TextDecoder().decode(chunk)),
  });
  assert.deepEqual({ ...result, bytes, err }, { code: 7, bytes: size, err: "err\n" });
  assert.equal(got.digest("hex"), sent.digest("hex"));
});

Deno.test("exec: hundreds, 20 at a time, all right and nothing left behind", async () => {
  const total = FULL ? 1000 : 200;
  await using agent = await agentProcess();
  const client = await agent.session.ready(READY);
  const openFiles = () => [...Deno.readDirSync(`/proc/${agent.pid}/fd`)].length;
  await execText(client, ["true"]);
  const before = openFiles();
  let next = 0;
  await Promise.all(Array.from({ length: 20 }, async () => {
    while (next < total) {
      const n = next++;
      const { code, out, err } = await execText(
        client,
        ["sh", "-c", "echo $1; echo $2 >&2; exit $3", "sh", `o${n}`, `e${n}`, `${n % 256}`],
      );
      assert.deepEqual({ code, out, err }, { code: n % 256, out: `o${n}\n`, err: `e${n}\n` });
    }
  }));
  // The answer to the last one comes a little before its descriptors are closed.
  await until(() => openFiles() <= before + 2, () => `${openFiles()} open files, ${before} before`);
  const children = await Deno.readTextFile(`/proc/${agent.pid}/task/${agent.pid}/children`);
  assert.equal(children.trim(), "");
});

Deno.test("kill -9 of the agent in mid-exec is an error within 5 s, the next command works", async () => {
  await using agent = await agentProcess();
  const client = await agent.session.ready(READY);
  const started = Promise.withResolvers<number>();
  const running = client.exec({ argv: ["sleep", "60"] }, { stdout() {}, stderr() {} }, {
    onStarted: (control) => started.resolve(control.pid),
  });
  running.catch(() => {});
  const orphan = await started.promise;
  const at = performance.now();
  await agent.kill();
  await assert.rejects(running, { code: "agent_restarted" });
  assert.ok(performance.now() - at < 5000);
  // In a guest its unit's control group ends it; here nobody does.
  for (const pid of sessionMembers(orphan)) Deno.kill(pid, "SIGKILL");
  agent.start();
  const again = await agent.session.ready(READY);
  assert.equal((await execText(again, ["echo", "back"])).out, "back\n");
  assert.deepEqual(
    agent.events.map((event) => event.kind === "up" ? event.change : event.kind)
      .filter((word) => word !== "refused"),
    ["first", "lost", "agent_restarted"],
  );
});

Deno.test("the token of the seed opens one hello, then another one is needed", async () => {
  await using agent = await agentProcess();
  await agent.session.ready(READY);
  const seeded = (await Deno.readTextFile(`${agent.folder}/seed/token`)).trim();
  const kept = (await Deno.readTextFile(`${agent.folder}/state/token`)).trim();
  assert.notEqual(kept, seeded);
  assert.deepEqual(agent.tokens.tokens, [kept]);
  assert.deepEqual(agent.tokens.steps, ["prepare", "confirm"]);
});

Deno.test("stats carry the guest's addresses of now", async () => {
  await using agent = await agentProcess();
  const client = await agent.session.ready(READY);
  assert.deepEqual((await client.stats()).addresses, addresses());
});

Deno.test("an idle agent stays below 80 MiB and uses no measurable CPU", async () => {
  await using agent = await agentProcess();
  const client = await agent.session.ready(READY);
  await execText(client, ["true"]);
  let rss = Infinity;
  await until(
    async () => (rss = (await client.stats()).agentRssBytes) <= 80 * 2 ** 20,
    () => `${(rss / 2 ** 20).toFixed(1)} MiB resident`,
  );
  // User and system time in ticks of 10 ms, over three seconds with nothing but pings; the engine
  // tidies up after the start for a while, on a slow host for longer.
  const ticks = async () => {
    const stat = await Deno.readTextFile(`/proc/${agent.pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return Number(fields[11]) + Number(fields[12]);
  };
  let used = Infinity;
  await until(async () => {
    const before = await ticks();
    await new Promise((resolve) => setTimeout(resolve, 3000));
    used = await ticks() - before;
    return used <= 6;
  }, () => `${used * 10} ms of CPU in 3 s of idling`);
});

Deno.test("an upgrade replaces the agent in place: same pid, new digest, seed untouched", async () => {
  await using agent = await agentProcess();
  const client = await agent.session.ready(READY);
  const main = new URL("../../agent/main.ts", import.meta.url).pathname;
  const program = `${agent.folder}/new-agent`;
  const text = `#!/bin/sh\nexec "${Deno.execPath()}" run --quiet -A "${main}" "$@"\n`;
  await Deno.writeTextFile(program, text);
  const digest = "ab".repeat(32);
  const { pid } = agent;
  const ended = client.mux.closed;
  await client.upgrade({
    digest,
    files: [{ name: "rum-agent", path: program, bytes: text.length }],
  });
  await ended;
  const again = await agent.session.ready(READY);
  assert.notEqual(again.hello.instance, client.hello.instance);
  assert.equal(agent.pid, pid);
  assert.equal(
    await Deno.readTextFile(`${agent.folder}/state/agent/current`),
    await Deno.readTextFile(program),
  );
  assert.equal((await execText(again, ["echo", "new"])).out, "new\n");
});
