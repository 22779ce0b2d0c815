import assert from "node:assert/strict";
import { fakeWorld } from "../support/fake_guest.ts";
import { rumCommand } from "../support/rum.ts";

Deno.test("what rum's starter left open is not held by the machine's background process", async () => {
  await using world = await fakeWorld();
  const { box } = world;
  const left = `${box.home}/left-open`;
  const { code, stderr } = await new Deno.Command("sh", {
    args: ["-c", 'exec 9>"$1"; shift; exec "$@"', "sh", left, ...rumCommand(), "up", "-d"],
    cwd: box.project,
    env: box.env,
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  const { json } = await box.ok(["status", "-o", "json"]);
  const open: string[] = [];
  for await (const { name } of Deno.readDir(`/proc/${json.daemon.pid}/fd`)) {
    open.push(await Deno.readLink(`/proc/${json.daemon.pid}/fd/${name}`).catch(() => ""));
  }
  assert.ok(open.length > 3, "nothing could be read of the daemon's descriptors");
  assert.ok(!open.includes(left), open.join("\n"));
});
