/**
 * The everyday verbs as processes, against a whole world without QEMU: real daemon, real agent, the
 * fake hypervisor. One machine for all of them; what a kernel has to show is for the e2e tests.
 */
import assert from "node:assert/strict";
import { type FakeWorld, fakeWorld, until } from "../support/fake_guest.ts";

/** The world's processes outlive the test's own; the world ends them. */
function worldTest(
  name: string,
  toml: string,
  fn: (w: FakeWorld, t: Deno.TestContext) => Promise<void>,
) {
  Deno.test({
    name,
    sanitizeOps: false,
    sanitizeResources: false,
    async fn(t) {
      await using world = await fakeWorld({ prefix: "rum-verbs-", toml });
      await fn(world, t);
    },
  });
}

const SCRIPTS = `
[provision.system]
script = "echo from system; echo to stderr >&2"
[provision.boot]
script = "echo from boot"
`;

worldTest(
  "exec: bytes, codes, words, signals and failures of a command in the guest",
  SCRIPTS,
  async (world, t) => {
    await world.ok(["up", "-d"]);
    const { rum } = world;

    await t.step("the exit code is the command's, stdout and stderr are apart", async () => {
      const result = await rum(["exec", "echo out; echo err >&2; exit 7"]);
      assert.deepEqual([result.code, result.stdout, result.stderr], [7, "out\n", "err\n"]);
      assert.equal(
        (await rum(["exec", "--", "printf", "%s|", "a  b", "$HOME", "-x"])).stdout,
        "a  b|$HOME|-x|",
      );
    });
    await t.step("half a megabyte of every byte comes back as it went", async () => {
      const bytes = Uint8Array.from({ length: 512 * 1024 }, (_, i) => (i * 7 + (i >> 8)) & 255);
      const result = await rum(["exec", "cat"], { stdin: bytes });
      assert.equal(result.code, 0);
      assert.deepEqual(result.bytes, bytes);
    });
    await t.step("a time of weeks is not over at once", async () => {
      for (
        const args of [
          ["exec", "--timeout", "600h", "--", "sleep", "0.2"],
          ["--timeout", "600h", "status"],
          ["wait", "--for", "exec:sleep 0.2", "--timeout", "600h"],
        ]
      ) {
        const { code, stderr } = await rum(args);
        assert.deepEqual([code, stderr], [0, ""], args.join(" "));
      }
    });
    await t.step("a closed stdin is an end, not a wait", async () => {
      assert.equal((await rum(["exec", "cat"])).code, 0);
      assert.equal((await rum(["exec", "-i", "cat"])).code, 0);
    });
    await t.step("variables come from -e, from ours and from a file", async () => {
      await Deno.writeTextFile(`${world.box.project}/x.env`, "# c\nFILE=1\nBOTH=file\n");
      const result = await rum(
        [
          "exec",
          "--env-file",
          "x.env",
          "-e",
          "BOTH=flag",
          "-e",
          "MINE",
          "-e",
          "NONE",
          "echo $FILE $BOTH $MINE ${NONE-unset}",
        ],
        { env: { MINE: "ours" } },
      );
      assert.equal(result.stdout, "1 flag ours unset\n");
    });
    await t.step("JSON is one document, of the guest or of rum", async () => {
      const guest = await rum(["-o", "json", "exec", "echo hi; exit 3"]);
      assert.deepEqual([guest.code, guest.json], [3, {
        v: 1,
        type: "exec",
        origin: "guest",
        code: 3,
        stdout: "hi\n",
        stderr: "",
      }]);
      const own = await rum(["-o", "json", "exec", "--timeout", "200ms", "sleep", "60"]);
      assert.deepEqual([own.code, own.error.code, own.error.origin, own.stdout], [
        124,
        "timeout",
        "rum",
        "",
      ]);
      const absent = await rum(["-o", "json", "exec", "no-such-program"]);
      assert.deepEqual([absent.code, absent.error.origin], [127, "guest"]);
    });
    await t.step("Ctrl+C and TERM go to the command, which decides", async () => {
      for (
        const [signal, name] of [["SIGINT", "INT"], ["SIGTERM", "TERM"], [
          "SIGUSR1",
          "USR1",
        ]] as const
      ) {
        const child = world.box.spawn([
          "exec",
          "--",
          "sh",
          "-c",
          `trap 'echo got; exit 42' ${name}; echo up; while :; do sleep 0.05; done`,
        ]);
        const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
        assert.match((await lines.read()).value ?? "", /up/);
        child.kill(signal);
        let rest = "";
        for (let next = await lines.read(); !next.done; next = await lines.read()) {
          rest += next.value;
        }
        assert.deepEqual([(await child.status).code, rest.trim()], [42, "got"], name);
        await child.stderr.cancel();
      }
    });
    await t.step(
      "a second Ctrl+C calls off what does not listen: 130, and nothing is left of it",
      async () => {
        const child = world.box.spawn([
          "exec",
          "--",
          "sh",
          "-c",
          `trap 'echo deaf' INT; echo up; while :; do sleep 0.0512; done`,
        ]);
        const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
        assert.match((await lines.read()).value ?? "", /up/);
        child.kill("SIGINT");
        assert.match((await lines.read()).value ?? "", /deaf/);
        child.kill("SIGINT");
        assert.equal((await child.status).code, 130);
        await Promise.all([lines.cancel(), child.stderr.cancel()]);
        await until(
          "the command is gone",
          async () => (await rum(["exec", "pgrep -f '[s]leep 0.0512'"])).code === 1,
        );
      },
    );
    await t.step("nobody reads: the command ends as one that wrote to a closed pipe", async () => {
      const child = world.box.spawn(["exec", "yes"]);
      const reader = child.stdout.getReader();
      await reader.read();
      await reader.cancel();
      assert.equal((await child.status).code, 141);
      await child.stderr.cancel();
    });
    await t.step("a shell reads its commands from a pipe, as the machine's user", async () => {
      const result = await rum(["shell"], {
        stdin: "id -u; shopt -q login_shell && echo login; exit 9\n",
      });
      assert.deepEqual([result.code, result.stdout], [9, "1000\nlogin\n"]);
    });
    await t.step("a paused machine is told of at once, a stopped one starts nothing", async () => {
      await world.ok(["pause"]);
      const paused = await rum(["exec", "true"], { timeoutMs: 60_000 });
      assert.deepEqual([paused.code, /paused/.test(paused.stderr)], [255, true]);
      const waited = await rum(["wait", "--for", "agent", "--timeout", "700ms"]);
      assert.deepEqual([waited.code, /is paused/.test(waited.stderr)], [124, true], waited.stderr);
      await world.ok(["resume"]);
      assert.equal((await rum(["exec", "true"])).code, 0);
      await world.ok(["down"]);
      await world.settled();
      assert.equal((await rum(["exec", "true"])).code, 255);
      assert.equal((await rum(["wait"])).code, 5);
      assert.equal(await world.holder(), undefined);
    });
  },
);

worldTest(
  "status, wait, provision, log, events and adopt over a machine's life",
  SCRIPTS,
  async (world, t) => {
    const { rum, ok } = world;
    const json = async (...args: string[]) => (await ok(["-o", "json", ...args])).json;
    await t.step("wait finds the machine that an up elsewhere is starting", async () => {
      const up = ok(["up", "-d"]);
      await until("somebody is at work", async () => await world.holder() !== undefined);
      const result = await ok(["-o", "json", "wait", "--for", "ready", "--timeout", "60s"]);
      assert.deepEqual([result.json.for, result.json.met], ["ready", true]);
      await up;
      assert.equal((await rum(["wait", "--for", "exec:false", "--timeout", "700ms"])).code, 124);
      await ok(["wait", "--for", "agent"]);
    });
    await t.step("status and list agree on what runs", async () => {
      const status = await json("status");
      assert.deepEqual(
        [status.phase, status.ready, status.as_recorded, status.agent.state, status.daemon.state],
        ["running", true, false, "up", "running"],
      );
      const { machines } = await json("list");
      assert.deepEqual(
        machines.map((m: Record<string, unknown>) => [m.id, m.phase, m.config_exists, m.daemon]),
        [[world.id, "running", true, { pid: status.daemon.pid }]],
      );
    });
    await t.step("provision streams what the scripts print", async () => {
      const result = await ok(["provision"]);
      assert.match(result.stdout, /system \| from system/);
      assert.match(result.stdout, /system ! to stderr/);
      assert.doesNotMatch((await ok(["provision", "--boot"])).stdout, /from system/);
      await world.configure(`[provision.boot]\nscript = "exit 5"`);
      const failed = await rum(["provision"]);
      assert.equal(failed.code, 10, failed.stderr);
      assert.match((await ok(["log", "--failed"])).stdout, /script:boot ! \[ended with 5\]/);
      await world.configure(SCRIPTS);
      await ok(["provision"]);
    });
    await t.step("log and events tell the past, with and without a daemon", async () => {
      assert.match((await ok(["log", "--source", "system"])).stdout, /system \| from system/);
      const numbers = (await ok(["-o", "json", "events"])).stdout.trim().split("\n").map((line) =>
        JSON.parse(line).seq
      );
      assert.deepEqual(numbers, numbers.map((_, i) => i + 1));
      const follower = world.box.spawn([
        "-o",
        "json",
        "events",
        "-f",
        "--since",
        String(numbers.length),
      ]);
      const lines = follower.stdout.pipeThrough(new TextDecoderStream()).getReader();
      await ok(["pause"]);
      assert.equal(JSON.parse((await lines.read()).value!.split("\n")[0]).seq, numbers.length + 1);
      follower.kill("SIGINT");
      assert.equal((await follower.status).code, 0);
      await Promise.all([lines.cancel(), follower.stderr.cancel()]);
      await ok(["resume"]);
    });
    await t.step(
      "a daemon that hangs is named within 5 s, one that died is replaced when needed",
      async () => {
        const pid = (await world.holder())!;
        // What a status takes here that nobody holds up is this host's, and comes on top.
        const started = performance.now();
        await json("status");
        const ownMs = performance.now() - started;
        Deno.kill(pid, "SIGSTOP");
        const hung = await ok(["-o", "json", "status"], { timeoutMs: 5000 + 2 * ownMs });
        assert.deepEqual([hung.json.daemon.state, hung.json.daemon.pid, hung.json.as_recorded], [
          "hung",
          pid,
          true,
        ]);
        Deno.kill(pid, "SIGKILL");
        await world.settled();
        const dead = await json("status");
        assert.deepEqual([dead.phase, dead.as_recorded, dead.daemon], ["running", true, {
          state: "absent",
        }]);
        const healed = await ok(["exec", "echo", "healed"]);
        assert.equal(healed.stdout, "healed\n");
        assert.match(healed.stderr, /background process was gone.*daemon\.log/);
      },
    );
    await t.step("restart ends ready, after another boot of the guest", async () => {
      const before = (await world.boots()).length;
      await ok(["restart"]);
      assert.equal((await world.boots()).length, before + 1);
      assert.equal((await world.status()).phase, "running");
    });
    await t.step("a moved project adopts its machine, which runs on", async () => {
      const { project } = world.box;
      const moved = `${project}-moved`;
      const refused = await rum(["adopt", world.id], { cwd: project });
      assert.equal(refused.code, 0, "the same place again changes nothing");
      await Deno.rename(project, moved);
      assert.equal((await rum(["-m", "fake", "list"], { cwd: "/" })).code, 0);
      const { machines } = (await ok(["-o", "json", "list"], { cwd: "/" })).json;
      assert.equal(machines[0].config_exists, false);
      await ok(["adopt", world.id], { cwd: moved });
      const status = (await ok(["-o", "json", "status"], { cwd: moved })).json;
      assert.deepEqual([status.id, status.phase, status.config_path], [
        world.id,
        "running",
        `${await Deno.realPath(moved)}/rum.toml`,
      ]);
      assert.equal((await ok(["exec", "echo", "still"], { cwd: moved })).stdout, "still\n");
      await Deno.mkdir(project);
      await Deno.copyFile(`${moved}/rum.toml`, `${project}/rum.toml`);
      const taken = await rum(["adopt", world.id], { cwd: project });
      assert.equal(taken.code, 6, "its own rum.toml is still there");
      await ok(["down"], { cwd: moved });
      assert.match((await ok(["dump-iso", "meta-data"], { cwd: moved })).stdout, /instance-id/);
    });
    await t.step("the place that it left can have a machine of its own", async () => {
      const { project } = world.box;
      await Deno.copyFile(`${project}-moved/base.qcow2`, `${project}/base.qcow2`);
      const dry = (await ok(["-o", "json", "up", "--dry-run"], { cwd: project })).json;
      await ok(["up", "-d"], { cwd: project });
      const own = (await ok(["-o", "json", "status"], { cwd: project })).json;
      const other = (await ok(["-o", "json", "status"], { cwd: `${project}-moved` })).json;
      assert.deepEqual([own.phase, other.phase], ["running", "stopped"]);
      assert.notEqual(own.id, world.id);
      assert.equal(other.id, world.id);
      assert.notEqual(own.hypervisor.uuid, other.hypervisor.uuid);
      assert.deepEqual([dry.plan.id, dry.plan.uuid], [own.id, own.hypervisor.uuid]);
      await ok(["destroy", "-y"], { cwd: project });
      const left = (await ok(["-o", "json", "list"], { cwd: "/" })).json.machines;
      assert.deepEqual(left.map((m: { id: string }) => m.id), [world.id]);
    });
  },
);

worldTest("console: bytes both ways, and the machine's end is its end", "", async (world) => {
  await world.ok(["up", "-d"]);
  const { hypervisor } = await world.status();
  using served = Deno.listen({
    transport: "unix",
    path: `${world.folder}/${hypervisor.uuid}.console`,
  });
  const line = await served.accept();
  const answering = (async () => {
    const buffer = new Uint8Array(64);
    for (let n = await line.read(buffer); n !== null; n = await line.read(buffer)) {
      await line.write(
        new TextEncoder().encode(`got ${new TextDecoder().decode(buffer.subarray(0, n))}`),
      );
    }
    line.close();
  })();
  const child = world.box.spawn(["console"], { stdin: "" });
  const input = child.stdin.getWriter();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const errors = new Response(child.stderr).text();
  await input.write(new TextEncoder().encode("root\n"));
  let seen = "";
  while (!seen.includes("got root")) {
    const next = await lines.read();
    assert.ok(!next.done, `the console ended after "${seen}"`);
    seen += next.value;
  }
  await world.ok(["down"]);
  await answering;
  assert.equal((await child.status).code, 0);
  await lines.cancel();
  assert.match(await errors, /The machine is off/);
  await input.close().catch(() => {});
  assert.equal((await world.rum(["console"])).code, 5);
});
