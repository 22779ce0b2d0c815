import assert from "node:assert/strict";
import { agentBed, execText } from "../../support/agent_in_process.ts";
import { drain } from "../../../agent/exec/piped.ts";
import { parseStat } from "../../../agent/exec/session_end.ts";
import { RumError } from "../../../src/base/errors.ts";

Deno.test("exec keeps stdout and stderr apart and answers the exit code", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const result = await execText(client, ["sh", "-c", "cat; echo err >&2; exit 7"], {
    stdin: "in\n",
  });
  assert.deepEqual(result, { code: 7, out: "in\n", err: "err\n" });
});

Deno.test("exec passes argv word for word", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const words = ["a b", "", "$HOME", "'\"", "*", "ü\n"];
  const { out } = await execText(client, ["printf", "%s|", ...words]);
  assert.equal(out, words.map((w) => `${w}|`).join(""));
});

Deno.test("exec reports a program that a signal ended as a shell does", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const { code, signal } = await execText(client, ["sh", "-c", "kill -TERM $$"]);
  assert.deepEqual({ code, signal }, { code: 143, signal: "SIGTERM" });
});

for (
  const [what, argv, code] of [
    ["a program that does not exist", ["no-such-program"], 127],
    ["a file that is not executable", ["/etc/passwd"], 126],
  ] as const
) {
  Deno.test(`exec refuses ${what} with ${code}`, async () => {
    await using bed = await agentBed();
    const client = await bed.connect();
    await assert.rejects(
      execText(client, argv),
      (e) => e instanceof RumError && e.code === "exec_failed" && e.data?.code === code,
    );
  });
}

Deno.test("exec gives the environment, the folder and the user that were asked for", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const { out } = await execText(client, ["sh", "-c", 'echo "$A $HOME $(id -un) $(pwd)"'], {
    user: "nobody",
    cwd: "/tmp",
    env: { A: "x y" },
  });
  assert.equal(out, "x y /nonexistent nobody /tmp\n");
});

for (const pty of [undefined, { cols: 80, rows: 24 }]) {
  const where = pty === undefined ? "on pipes" : "on a terminal";
  Deno.test(`a command ${where} becomes its user by no program of its own PATH`, async () => {
    await using bed = await agentBed();
    const client = await bed.connect();
    const bin = await Deno.makeTempDir({ prefix: "rum-path-" });
    try {
      await Deno.chmod(bin, 0o755);
      // Whoever may write here shall not be root by it.
      await Deno.writeTextFile(`${bin}/setpriv`, "#!/bin/sh\necho planted\n", { mode: 0o755 });
      await Deno.writeTextFile(`${bin}/who`, "#!/bin/sh\n/usr/bin/id -un\n", { mode: 0o755 });
      let out = "";
      const take = (bytes: Uint8Array) => void (out += new TextDecoder().decode(bytes));
      const { code } = await client.exec(
        { argv: ["who"], user: "nobody", cwd: "/", env: { PATH: bin }, pty },
        { stdout: take, stderr: take },
      );
      assert.deepEqual({ code, out: out.trim() }, { code: 0, out: "nobody" });
    } finally {
      await Deno.remove(bin, { recursive: true });
    }
  });
}

Deno.test("what the loader reads reaches a command of another user, and nothing that runs as root before it", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  // The loader tells of every program that it starts with this.
  const { code, out, err } = await execText(client, ["id", "-un"], {
    user: "nobody",
    cwd: "/",
    env: { LD_DEBUG: "files", GCONV_PATH: "/nonexistent" },
  });
  assert.deepEqual({ code, out }, { code: 0, out: "nobody\n" });
  const started = [...err.matchAll(/initialize program: (\S+)/g)].map(([, program]) => program);
  assert.deepEqual(started, ["id"]);
});

Deno.test("exec answers though a background child keeps its output open", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const { out, code } = await execText(client, ["sh", "-c", "sleep 30 & echo $!"]);
  assert.equal(code, 0);
  Deno.kill(Number(out), "SIGKILL");
});

Deno.test("what came while the agent itself was held up is no silence", async () => {
  // Ends at once, and its background child writes 100 ms later.
  const child = new Deno.Command("sh", {
    args: ["-c", "{ sleep 0.1; echo late; exec sleep 30; } & echo $!"],
    stdout: "piped",
  }).spawn();
  let out = "";
  const drained = drain(child.stdout, (bytes) => {
    out += new TextDecoder().decode(bytes);
    return Promise.resolve();
  }, child.status);
  await child.status;
  await new Promise((resolve) => setTimeout(resolve, 20));
  // As a slow guest's only processor may be away: no turn of the event loop.
  for (const end = performance.now() + 500; performance.now() < end;);
  await drained;
  Deno.kill(Number(out.split("\n")[0]), "SIGKILL");
  assert.match(out, /\nlate\n$/);
});

Deno.test("a cancelled exec leaves no process of its session behind", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const cancel = new AbortController();
  const pids: number[] = [];
  await assert.rejects(
    client.exec({ argv: ["sh", "-c", "trap '' TERM; sleep 60 & echo $!; sleep 61"] }, {
      stdout(bytes) {
        pids.push(Number(new TextDecoder().decode(bytes)));
        cancel.abort(new RumError("interrupted", "Ctrl+C"));
      },
      stderr() {},
    }, { signal: cancel.signal }),
    { code: "interrupted" },
  );
  while (bed.agent.context.execs.size > 0) await new Promise((r) => setTimeout(r, 20));
  // A zombie that init has not reaped yet is gone as well.
  const stat = await Deno.readTextFile(`/proc/${pids[0]}/stat`).catch(() => undefined);
  assert.ok(stat === undefined || parseStat(stat)?.zombie, stat);
});

Deno.test("a signal reaches the program though its stdin is full", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const endless = new ReadableStream<Uint8Array>({
    // Both ends are in this process: without a turn for the event loop between two pieces, nobody
    // would ever see that the program has ended.
    pull: async (controller) => {
      await new Promise((resolve) => setTimeout(resolve));
      controller.enqueue(new Uint8Array(65536));
    },
  });
  const result = await client.exec({ argv: ["sleep", "60"] }, {
    stdin: endless,
    stdout() {},
    stderr() {},
  }, { onStarted: (control) => void control.signal("SIGINT") });
  assert.deepEqual(result, { code: 130, signal: "SIGINT" });
});
