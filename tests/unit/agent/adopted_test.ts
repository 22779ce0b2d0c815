/**
 * Services that an upgraded agent takes over: it is the same process, so they are its children, and
 * no part of the runtime knows them. As such the children here are spawned past the runtime.
 */
import assert from "node:assert/strict";
import { libc } from "../../../ffi/libc.ts";
import { openTerminal, spawnOnTerminal } from "../../../agent/exec/pty_child.ts";
import { findService } from "../../../agent/services/process.ts";
import "../../support/libc_opened.ts";

async function child(script: string) {
  const { master, slavePath } = openTerminal(80, 24);
  const argv = ["/bin/sh", "-c", script];
  const pid = spawnOnTerminal({ path: argv[0], argv, env: {}, cwd: "/", slavePath });
  const stat = () => Deno.readTextFileSync(`/proc/${pid}/stat`);
  const folder = await Deno.makeTempDir({ prefix: "rum-adopted-" });
  const note = `${folder}/web-0.process`;
  await Deno.writeTextFile(note, `7 ${stat()}`);
  return {
    pid,
    note,
    type: () => libc("write")(master, Uint8Array.of(10), 1n),
    zombie: () => stat().includes(") Z "),
    [Symbol.asyncDispose]: async () => {
      libc("close")(master);
      await Deno.remove(folder, { recursive: true });
    },
  };
}

const gone = (pid: number) =>
  assert.throws(() => Deno.statSync(`/proc/${pid}`), Deno.errors.NotFound);

Deno.test("a service of the life before an upgrade leaves no zombie, and how it ended is known", async () => {
  const stop = new AbortController();
  {
    await using one = await child("read x; exit 3");
    const service = await findService(one.note, stop.signal);
    assert.equal(service?.generation, 7);
    one.type();
    assert.deepEqual(await service.ended, { code: 3 });
    gone(one.pid);
  }
  {
    await using one = await child("read x");
    const service = await findService(one.note, stop.signal);
    service?.signal("KILL");
    assert.deepEqual(await service?.ended, { signal: "KILL" });
    gone(one.pid);
  }
});

Deno.test("a service that ended between two lives of the agent leaves no zombie", async () => {
  await using one = await child("read x");
  one.type();
  while (!one.zombie()) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(await findService(one.note, new AbortController().signal), undefined);
  gone(one.pid);
});
