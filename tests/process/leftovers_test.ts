/** What a command must not leave behind: ports of a boot that never came, a line in ~/.ssh/config. */
import assert from "node:assert/strict";
import type { MachineEvent } from "../../src/protocol/machine_events.ts";
import { fakeWorld } from "../support/fake_guest.ts";

Deno.test("An up that failed lets go of the ports that it had reserved, while its daemon is still there", async () => {
  await using world = await fakeWorld({ toml: `[[ports]]\nhost = 0\nguest = 80\n` });
  const { code, stderr } = await world.rum(["up", "-d"], {
    env: { RUM_TEST_FAULT: "gather.drives:eio" },
  });
  assert.notEqual(code, 0);
  assert.match(stderr, /Input\/output error/);
  await world.settled();
  const { stdout } = await world.ok(["events", "-o", "json"]);
  const forwards = stdout.trim().split("\n").map((line) => JSON.parse(line) as MachineEvent)
    .flatMap((event) => event.kind === "forward" ? [event.state] : []);
  // A daemon that ends lets go in silence: "closed" was said before.
  assert.deepEqual(forwards, ["listening", "closed"]);
});

Deno.test("destroy of the last installed machine takes rum's line out of ~/.ssh/config, and nothing else", async () => {
  await using world = await fakeWorld();
  const file = `${world.box.home}/.ssh/config`;
  await Deno.mkdir(`${world.box.home}/.ssh`, { mode: 0o700 });
  await Deno.writeTextFile(file, "Host mine\n  Port 23\n", { mode: 0o600 });
  await world.ok(["up", "-d"]);
  await world.ok(["ssh-config", "--install"]);
  assert.match(await Deno.readTextFile(file), /^# machines of rum .*\nInclude .*\n\nHost mine\n/);
  // Another machine's block: the line stays with it.
  const other = `${world.paths.folder.replace(/[^/]+$/, "")}0badcafe`;
  await Deno.mkdir(other);
  await Deno.writeTextFile(`${other}/ssh_config`, "Host rum-other\n");
  await world.ok(["destroy", "-y"]);
  assert.match(await Deno.readTextFile(file), /\nInclude /);
  await Deno.remove(other, { recursive: true });

  await world.ok(["up", "-d"]);
  await world.ok(["ssh-config", "--install"]);
  await world.ok(["destroy", "-y"]);
  assert.equal(await Deno.readTextFile(file), "Host mine\n  Port 23\n");
});
