/** `log` of services, and how what follows ends: with the machine, or by Ctrl+C. */
import assert from "node:assert/strict";
import { fakeWorld, until } from "../support/fake_guest.ts";

Deno.test("log: a service's is asked of the guest and listed; followers end with the machine, and no word is lost on its log", async () => {
  await using world = await fakeWorld({
    prefix: "rum-log-",
    toml: `[services.web]
command = ["sh", "-c", "echo one; echo two; echo three; exec sleep 1000"]
`,
  });
  await world.ok(["up", "-d"]);
  const web = async (...args: string[]) =>
    (await world.ok(["log", "--source", "service:web", ...args])).stdout;
  await until("it has printed", async () => (await web()).includes("three"));
  assert.equal(await web("-n", "2"), "service:web/0 | two\nservice:web/0 | three\n");
  const refused = async (exit: number, word: string, ...args: string[]) => {
    const { code, error } = await world.rum(["log", "-o", "json", ...args]);
    assert.deepEqual([code, error.code], [exit, word], args.join(" "));
  };
  await refused(2, "usage", "--source", "service:web", "--since", "1m");
  await refused(2, "usage", "--source", "service:web", "-n", "0");
  await refused(4, "service_not_found", "--source", "service:nothing");
  const listed = async () =>
    (await world.ok(["log", "--list", "-o", "json"])).json.logs
      .map(({ name }: { name: string }) => name);
  assert.ok((await listed()).includes("service:web"));
  assert.match((await world.ok(["log", "--list"])).stdout, /service:web .*in the guest/);

  const waiting = world.box.spawn(["wait", "--for", "exec:false"]);
  const service = world.box.spawn(["log", "-f", "--source", "service:web"]);
  const followers = [world.box.spawn(["log", "-f"]), world.box.spawn(["events", "-f"])];
  await new Promise((resolve) => setTimeout(resolve, 3000));
  waiting.kill("SIGINT");
  service.kill("SIGINT");
  const called = await waiting.output();
  assert.equal(called.code, 130);
  assert.match(new TextDecoder().decode(called.stderr), /Interrupted by Ctrl\+C/);
  const { code, stdout } = await service.output();
  assert.equal(code, 0);
  assert.match(new TextDecoder().decode(stdout), /three/);

  await world.ok(["down", "-f"]);
  assert.ok(!(await listed()).includes("service:web"));
  const { stdout: said, stderr } = await world.ok(["destroy", "-y"]);
  assert.doesNotMatch(said + stderr, /event log/);
  for (const follower of followers) {
    const ended = await follower.output();
    assert.equal(ended.code, 0);
    assert.match(new TextDecoder().decode(ended.stderr), /was destroyed/);
  }
});
