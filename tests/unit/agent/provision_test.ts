import assert from "node:assert/strict";
import type { ProvisionEvent, ProvisionParams } from "../../../src/protocol/agent.ts";
import { toHex } from "../../../src/protocol/proof.ts";
import type { AgentClient } from "../../../src/guest/agent_client.ts";
import { type AgentBed, agentBed } from "../../support/agent_in_process.ts";
import type { Clock } from "../../../src/base/clock.ts";
import { TurnedClock } from "../../support/turned_clock.ts";
import { createAgent } from "../../../agent/agent.ts";

const FULL = Deno.env.get("FULL") === "1";

async function script(name: string, content: string, runOn: "system" | "boot", order = 100) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(content));
  return { name, content, runOn, order, timeoutMs: 60_000, hash: toHex(new Uint8Array(digest)) };
}

async function provision(
  client: AgentClient,
  scripts: ProvisionParams["scripts"],
  options: Partial<ProvisionParams> & { signal?: AbortSignal } = {},
) {
  const { signal, ...rest } = options;
  const events: ProvisionEvent[] = [];
  const result = await client.provision(
    { scripts, run: "due", ...rest },
    (event) => void events.push(event),
    { signal },
  );
  const lines = events.flatMap((event) => event.lines ?? []);
  return { result, events, lines: lines.map((line) => line.text) };
}

/** The same guest after a reboot: state kept, run folder empty, another boot id. */
async function reboot(bed: AgentBed, bootId: string, more: { clock?: Clock } = {}) {
  const options = { ...bed.options, run: `${bed.options.run}-${bootId}`, bootId };
  const agent = await createAgent(options, { restart: () => {}, echoLog: false, ...more });
  return { ...agent, [Symbol.asyncDispose]: () => agent.context.services.close() };
}

Deno.test("a first boot runs every script by order, then name", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const scripts = [
    await script("z", "echo z", "system", 100),
    await script("boot", "echo boot", "boot", 200),
    await script("a", "echo a", "system", 100),
    await script("drives", "echo drives", "system", 0),
  ];
  const { result, lines } = await provision(client, scripts);
  assert.ok(result.ok);
  assert.deepEqual(lines, ["drives", "a", "z", "boot"]);
  assert.equal((await bed.connect()).hello.firstBootDone, true);
});

Deno.test("a second provision in the same boot runs nothing", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const scripts = [await script("s", "echo s", "system"), await script("b", "echo b", "boot")];
  const first = await provision(client, scripts);
  const last = first.events.at(-1)!;
  const second = await provision(client, scripts, { have: { bootId: "boot-1", seq: last.seq } });
  assert.deepEqual(second.result.skipped.sort(), ["b", "s"]);
  assert.deepEqual(second.events, []);
});

Deno.test("the first failure stops the run, with its name, code and tail", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const scripts = [
    await script("good", "echo good", "system", 1),
    await script("bad", "echo one; echo two >&2; exit 9; echo never", "system", 2),
    await script("after", "echo after", "boot", 3),
  ];
  const { result, lines } = await provision(client, scripts);
  assert.equal(result.ok, false);
  assert.equal(result.failed?.name, "bad");
  assert.equal(result.failed?.code, 9);
  assert.deepEqual([...result.failed?.tail ?? []].sort(), ["one", "two"]);
  assert.ok(!lines.includes("after"));
  assert.equal((await bed.connect()).hello.firstBootDone, false);
});

Deno.test("a resumed first boot goes on after what passed unchanged", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const good = await script("good", "echo good", "system", 1);
  await provision(client, [good, await script("bad", "exit 1", "system", 2)]);
  const fixed = await script("bad", "echo fixed", "system", 2);
  const { result, lines } = await provision(client, [good, fixed], {
    have: { bootId: "boot-1", seq: bed.agent.context.provisioner.spool.lastSeq },
  });
  assert.ok(result.ok);
  assert.deepEqual(lines, ["fixed"]);
  assert.deepEqual(result.skipped, ["good"]);
});

Deno.test("a guest that boots with no host runs its Boot scripts once, System never", async () => {
  await using bed = await agentBed();
  const scripts = [await script("s", "echo s", "system"), await script("b", "echo b", "boot", 200)];
  await provision(await bed.connect(), scripts);

  await using booted = await reboot(bed, "boot-2");
  await booted.boot();
  await booted.boot();
  const { provisioner } = booted.context;
  const texts: string[] = [];
  for await (const event of provisioner.follow(undefined, new AbortController().signal)) {
    texts.push(...(event.lines ?? []).map((line) => line.text));
  }
  assert.deepEqual(texts, ["b"]);
});

Deno.test("a first boot that never ended is not gone on with unasked", async () => {
  await using bed = await agentBed();
  await provision(await bed.connect(), [await script("bad", "exit 1", "system")]);
  await using booted = await reboot(bed, "boot-2");
  await booted.boot();
  assert.equal(booted.context.provisioner.spool.lastSeq, 0);
});

Deno.test("an edited Boot script is the one that runs at the next boot, once", async () => {
  await using bed = await agentBed();
  const old = await script("b", "echo old", "boot");
  const edited = await script("b", "echo new", "boot");
  const client = await bed.connect();
  await provision(client, [old]);
  const have = { bootId: "boot-1", seq: bed.agent.context.provisioner.spool.lastSeq };
  const { lines } = await provision(client, [edited], { have });
  assert.deepEqual(lines, [], "this boot had its turn");
  await using booted = await reboot(bed, "boot-2");
  await booted.boot();
  const texts: string[] = [];
  for await (
    const e of booted.context.provisioner.follow(undefined, new AbortController().signal)
  ) {
    texts.push(...(e.lines ?? []).map((line) => line.text));
  }
  assert.deepEqual(texts, ["new"]);
});

Deno.test("with nothing to run, a boot waits for its network once, if it gets one", async () => {
  const root = await Deno.makeTempDir({ prefix: "rum-root-" });
  await using bed = await agentBed({ root });
  await Deno.mkdir(`${root}/etc`);
  const { spool } = bed.agent.context.provisioner;
  const nothing = async () =>
    await provision(await bed.connect(), [], { waits: { network: true } });
  const nameServer = setTimeout(
    () => Deno.writeTextFileSync(`${root}/etc/resolv.conf`, "nameserver 127.0.0.1\n"),
    500,
  );
  const { result, events } = await nothing();
  clearTimeout(nameServer);
  assert.ok(result.ok);
  assert.match(
    events[0]?.message ?? "nothing",
    /^Waiting for network: no (name server|default route) yet$/,
  );
  const said = spool.lastSeq;
  await Deno.remove(`${root}/etc/resolv.conf`);
  await nothing();
  assert.equal(spool.lastSeq, said, "the boot had its wait");
  await using booted = await reboot(bed, "boot-2");
  const { run } = await booted.context.provisioner.begin({ scripts: [], run: "due" });
  assert.ok((await run.result).ok);
  assert.equal(booted.context.provisioner.spool.lastSeq, 0, "no way out was promised");
  await Deno.remove(root, { recursive: true });
});

Deno.test("a boot that waits without a host yields to one that comes with newer scripts", async () => {
  // A root of its own: this test takes its users away.
  const root = await Deno.makeTempDir({ prefix: "rum-root-" });
  await using bed = await agentBed({ root });
  const old = await script("b", "echo old", "boot");
  const edited = await script("b", "echo new", "boot");
  await Deno.mkdir(`${root}/etc`);
  const passwd = `${root}/etc/passwd`;
  await Deno.writeTextFile(passwd, "ada:x:1:1::/:/bin/sh\n");
  await provision(await bed.connect(), [old], { waits: { user: "ada" } });
  // At the next boot the user that the cached script waits for is not there yet.
  await Deno.writeTextFile(passwd, "");
  await using booted = await reboot(bed, "boot-2");
  const { provisioner } = booted.context;
  const alone = booted.boot().catch(() => {});
  while (provisioner.spool.lastSeq === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const { run, joined } = await provisioner.begin({ scripts: [edited], run: "retry" });
  assert.equal(joined, false);
  assert.ok((await run.result).ok);
  await alone;
  const texts: string[] = [];
  for await (const e of provisioner.follow(undefined, new AbortController().signal)) {
    texts.push(...(e.lines ?? []).map((line) => line.text));
  }
  assert.deepEqual(texts, ["new"]);
  await Deno.remove(root, { recursive: true });
});

Deno.test("a host that asks while the boot waits for it is the only one that runs scripts", async () => {
  await using bed = await agentBed();
  const old = await script("b", "echo old", "boot");
  const edited = await script("b", "echo new", "boot");
  await provision(await bed.connect(), [old]);
  await using booted = await reboot(bed, "boot-2");
  const { provisioner, host } = booted.context;
  host.hello();
  const alone = booted.boot();
  const { run, joined } = await provisioner.begin({ scripts: [edited], run: "retry" });
  assert.equal(joined, false);
  assert.deepEqual((await run.result).ran.map((r) => r.code), [0]);
  await alone;
  const texts: string[] = [];
  for await (const e of provisioner.follow(undefined, new AbortController().signal)) {
    texts.push(...(e.lines ?? []).map((line) => line.text));
  }
  assert.deepEqual(texts, ["new"]);
});

Deno.test("a host that is long at work before it asks is waited for, one that went silent is not", async () => {
  await using bed = await agentBed({ hostWaitMs: 10_000 });
  await provision(await bed.connect(), [await script("b", "echo old", "boot")]);
  const clock = new TurnedClock();
  await using booted = await reboot(bed, "boot-2", { clock });
  const { provisioner, host } = booted.context;
  host.hello();
  const alone = booted.boot();
  while (clock.sleeping === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  const making = host.call();
  await clock.turn(10 * 60_000);
  assert.equal(provisioner.spool.lastSeq, 0);
  making[Symbol.dispose]();
  await clock.turn(4 * bed.options.hostWaitMs);
  await alone;
  assert.equal((await provisioner.marks.readBoot())?.b.state, "passed");
});

Deno.test("a script runs on when its host is lost, and who comes back gets the rest", async () => {
  await using bed = await agentBed();
  const gate = await Deno.makeTempFile();
  await Deno.remove(gate);
  const slow = await script(
    "slow",
    `echo first; while [ ! -e ${gate} ]; do sleep 0.02; done; echo last`,
    "system",
  );
  const client = await bed.connect();
  let seq = 0;
  await assert.rejects(
    client.provision({ scripts: [slow], run: "due" }, (event) => {
      seq = event.seq;
      if (event.kind === "lines") client.close();
    }),
    { code: "agent_restarted" },
  );
  const again = await bed.connect();
  const rest = provision(again, [slow], { have: { bootId: "boot-1", seq } });
  await Deno.writeTextFile(gate, "");
  const { result, lines } = await rest;
  assert.ok(result.ok);
  assert.deepEqual(lines, ["last"]);
  await Deno.remove(gate);
});

Deno.test("a cancelled provision ends its script", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const cancel = new AbortController();
  const endless = await script("endless", "echo $$; sleep 60", "system");
  await assert.rejects(
    client.provision({ scripts: [endless], run: "due" }, (event) => {
      if (event.kind === "lines") cancel.abort(new Error("called off"));
    }, { signal: cancel.signal }),
    /called off/,
  );
  const { result } = await provision(client, [await script("endless", "true", "system")]);
  // It joined the run that was being ended, or came after it: either way nothing is left running.
  assert.ok(result.ok || result.failed?.reason === "was called off");
});

Deno.test("a script that takes too long is ended and named", async () => {
  await using bed = await agentBed();
  const slow = { ...await script("slow", "echo hi; sleep 60", "system"), timeoutMs: 2000 };
  const { result } = await provision(await bed.connect(), [slow]);
  assert.deepEqual(result.failed, {
    name: "slow",
    reason: "took longer than 2.0 s",
    tail: ["hi"],
  });
});

Deno.test("every line of a script that prints many arrives in order, the spool bounded", async () => {
  const lines = FULL ? 200_000 : 20_000;
  await using bed = await agentBed();
  const client = await bed.connect();
  const chatty = await script("chatty", `seq 1 ${lines}`, "system");
  let expected = 1;
  await client.provision({ scripts: [chatty], run: "due" }, (event) => {
    for (const line of event.lines ?? []) assert.equal(line.text, String(expected++));
  });
  assert.equal(expected, lines + 1);
});

Deno.test("a script that does not match its hash is refused", async () => {
  await using bed = await agentBed();
  const bad = { ...await script("x", "true", "system"), content: "false" };
  await assert.rejects(provision(await bed.connect(), [bad]), { code: "invalid_params" });
});
