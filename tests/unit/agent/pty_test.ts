import assert from "node:assert/strict";
import { agentBed } from "../../support/agent_in_process.ts";
import type { AgentClient } from "../../../src/guest/agent_client.ts";
import type { ExecControl } from "../../../src/guest/agent_exec.ts";

/** Types each line once the output so far matches its cue. */
async function converse(
  client: AgentClient,
  argv: string[],
  script: readonly { after: RegExp; act: (control: ExecControl) => Promise<string | void> }[],
): Promise<{ code: number; out: string }> {
  let out = "";
  let step = 0;
  let control!: ExecControl;
  let keys!: ReadableStreamDefaultController<Uint8Array>;
  const stdin = new ReadableStream<Uint8Array>({
    start: (controller) => {
      keys = controller;
    },
  });
  const result = await client.exec({ argv, pty: { cols: 80, rows: 24 } }, {
    stdin,
    async stdout(bytes) {
      out += new TextDecoder().decode(bytes);
      if (step < script.length && script[step].after.test(out)) {
        const typed = await script[step++].act(control);
        if (typed !== undefined) keys.enqueue(new TextEncoder().encode(typed));
      }
    },
    stderr() {
      assert.fail("a terminal has one stream");
    },
  }, { onStarted: (c) => control = c });
  return { code: result.code, out };
}

Deno.test("a command on a terminal has a controlling terminal of the asked size", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const { out, code } = await converse(
    client,
    ["sh", "-c", "stty size < /dev/tty; tty; exit 3"],
    [],
  );
  assert.match(out, /^24 80\r\n\/dev\/pts\/\d+\r\n$/);
  assert.equal(code, 3);
});

Deno.test("resize reaches the terminal of a running command", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const { out } = await converse(client, ["sh", "-c", "echo go; read x; stty size"], [
    { after: /go/, act: async (control) => (await control.resize(100, 50), "\n") },
  ]);
  assert.match(out, /50 100\r\n$/);
});

Deno.test("Ctrl+C typed on the terminal interrupts the foreground program", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const { code } = await converse(client, ["sh", "-c", "echo go; exec sleep 60"], [
    { after: /go/, act: () => Promise.resolve("\x03") },
  ]);
  assert.equal(code, 130);
});

Deno.test("a program on a terminal sees the end of its input", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  let out = "";
  const result = await client.exec({ argv: ["cat"], pty: { cols: 80, rows: 24 } }, {
    stdin: new Blob(["line\n"]).stream(),
    stdout: (bytes) => void (out += new TextDecoder().decode(bytes)),
    stderr() {},
  });
  assert.deepEqual(result, { code: 0 });
  assert.equal(out, "line\r\nline\r\n");
});

Deno.test("large output of a terminal arrives whole", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const { out, code } = await converse(client, ["seq", "1", "50000"], []);
  assert.equal(code, 0);
  const lines = out.split("\r\n");
  assert.equal(lines.length, 50001);
  assert.equal(lines[49999], "50000");
});

Deno.test("a terminal's session is gone when its client goes", async () => {
  await using bed = await agentBed();
  const client = await bed.connect();
  const cancel = new AbortController();
  let pid = 0;
  await assert.rejects(
    client.exec({ argv: ["sh", "-c", "echo up; sleep 60"], pty: { cols: 80, rows: 24 } }, {
      stdout: () => cancel.abort(new Error("left")),
      stderr() {},
    }, { signal: cancel.signal, onStarted: (control) => pid = control.pid }),
    /left/,
  );
  while (bed.agent.context.execs.size > 0) await new Promise((r) => setTimeout(r, 20));
  assert.throws(() => Deno.statSync(`/proc/${pid}`), Deno.errors.NotFound);
});
