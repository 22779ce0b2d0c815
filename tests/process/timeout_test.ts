/** `--timeout` and RUM_TIMEOUT in each kind of verb (SPEC section 2): 124, and the machine as it was. */
import assert from "node:assert/strict";
import { fakeWorld, until } from "../support/fake_guest.ts";

Deno.test("--timeout: what follows ends with 124, what was asked of the machine goes on", async () => {
  await using world = await fakeWorld({
    prefix: "rum-time-",
    toml: '[services.web]\ncommand = ["sleep", "1000"]\n',
  });
  await world.ok(["up", "-d"]);
  const rows: [string[], RegExp][] = [
    [["log", "-f"], /called off/],
    [["events", "-f"], /called off/],
    [["status", "--watch"], /called off/],
    [["service", "logs", "-f", "web"], /called off/],
    [["daemon", "logs", "-f"], /called off/],
    [["wait", "--for", "exec:false"], /exec:false/],
    [["exec", "sleep", "100"], /ran longer/],
  ];
  for (const [args, says] of rows) {
    const { code, stderr, error } = await world.rum(args, {
      env: { RUM_TIMEOUT: "1s", RUM_OUTPUT: "json" },
    });
    assert.equal(code, 124, `${args.join(" ")}: ${stderr}`);
    assert.equal(error.code, "timeout", args.join(" "));
    assert.match(error.message, says, args.join(" "));
    assert.equal((await world.status()).phase, "running", args.join(" "));
  }
});

Deno.test("--timeout of down is its patience, RUM_TIMEOUT only ends the waiting; so it does of destroy", async () => {
  await using world = await fakeWorld({ prefix: "rum-time-" });
  await world.ok(["up", "-d"]);
  await world.behave({ ignoresShutdown: true });
  const waited = await world.rum(["down"], { env: { RUM_TIMEOUT: "1s" } });
  assert.equal(waited.code, 124, waited.stderr);
  assert.match(waited.stderr, /the machine is left to go off by itself/);
  assert.ok(await world.powered(), "patience that was not given to down forced it off");
  const down = await world.ok(["down", "--force"]);
  assert.match(down.stdout, /As asked, the machine was powered off; nothing was deleted/);
  await world.behave({ ignoresShutdown: false });
  await world.settled();

  await world.ok(["up", "-d"], { env: { RUM_TEST_FAULT: "remove.undefined:delay:8000" } });
  // Long enough to have asked for it, too short to see its end.
  const { code, stderr } = await world.rum(["--timeout", "3s", "destroy", "-y"]);
  assert.equal(code, 124, stderr);
  assert.match(stderr, /"rum destroy" took longer than .*; what it began goes on/);
  await world.settled();
  assert.equal((await world.status()).phase, "absent");
});

Deno.test("what waits for its turn says for what, and that it had not begun when it is called off", async () => {
  await using world = await fakeWorld({
    prefix: "rum-turn-",
    toml: '[provision.boot]\nscript = "sleep 25"\n',
  });
  const booting = world.rum(["up", "-d"]);
  await until("the script runs", async () => (await world.status()).phase === "provisioning");
  const late = await world.rum(["--timeout", "3s", "pause"]);
  assert.equal(late.code, 124);
  assert.match(late.stderr, /Waiting: the machine is at "up"/);
  assert.match(
    late.stderr,
    /"rum pause" took longer .*; its turn had not come, so it was called off/,
  );
  const child = world.box.spawn(["restart"]);
  await new Promise((later) => setTimeout(later, 3000));
  child.kill("SIGINT");
  const { code, stderr } = await child.output();
  assert.equal(code, 130);
  assert.match(new TextDecoder().decode(stderr), /Called off before "restart" began/);
  assert.equal((await booting).code, 0);
  assert.equal(
    (await world.status()).text,
    "running (detached, ready)",
    "nobody waits for a pause",
  );
  assert.equal((await world.boots()).length, 1);
});

Deno.test("a restart that waits for its turn has it, though nobody waits for the restart any more", async () => {
  await using world = await fakeWorld({
    prefix: "rum-turn-",
    toml: '[provision.boot]\nscript = "sleep 12"\n',
  });
  const booting = world.rum(["up", "-d"]);
  await until("the script runs", async () => (await world.status()).phase === "provisioning");
  const late = await world.rum(["--timeout", "3s", "restart"]);
  assert.equal(late.code, 124);
  assert.match(late.stderr, /"rum restart" took longer .*; it waits for its turn/);
  assert.equal((await booting).code, 0);
  await until("the restart had its turn", async () => (await world.boots()).length === 2);
});
