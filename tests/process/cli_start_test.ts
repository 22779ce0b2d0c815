/** What must answer on a host with nothing on it: no machine, no libvirt, no rum.toml. */
import assert from "node:assert/strict";
import { type Sandbox, sandbox } from "../support/rum.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

Deno.test("an empty home: each of these says its sentence and exits with its code", async () => {
  await using box = await sandbox();
  const rows: [string[], number, RegExp][] = [
    [["--help"], 0, /One rum\.toml/],
    [["version"], 0, /^rum \d/],
    [["list"], 0, /No machines/],
    [["status"], 4, /No rum\.toml/],
    [["config", "check"], 4, /No rum\.toml/],
    [["down"], 4, /No rum\.toml/],
    [["events"], 4, /No rum\.toml/],
    [["log"], 4, /No rum\.toml/],
    [["wait"], 4, /No rum\.toml/],
    [["restart"], 4, /No rum\.toml/],
    [["exec", "true"], 255, /No rum\.toml/],
    [["shell"], 255, /No rum\.toml/],
    [["-m", "nobody", "status"], 4, /No machine of yours/],
    [["adopt", "0123abcd"], 4, /No rum\.toml/],
    [["dump-iso"], 4, /No rum\.toml/],
  ];
  for (const [args, code, says] of rows) {
    const result = await box.rum(args);
    assert.equal(result.code, code, `rum ${args.join(" ")}: ${result.stderr}`);
    assert.match(result.stdout + result.stderr, says, args.join(" "));
  }
  assert.deepEqual((await box.ok(["list", "-o", "json"])).json, {
    v: 1,
    type: "list",
    machines: [],
  });
});

Deno.test("a rum.toml without a machine: absent is a phase, everything else needs it to run", async () => {
  await using box = await sandbox();
  await box.config(`this is [not TOML`);
  const { json } = await box.ok(["status", "-o", "json"]);
  assert.deepEqual([json.type, json.phase, json.as_recorded, json.daemon], [
    "status",
    "absent",
    true,
    { state: "absent" },
  ]);
  for (
    const [args, code] of [
      [["down"], 0],
      [["pause"], 5],
      [["resume"], 5],
      [["restart"], 5],
      [["provision"], 5],
      [["wait", "--for", "ready"], 5],
      [["exec", "true"], 255],
      [["log"], 4],
      [["events"], 4],
      [["dump-iso"], 4],
    ] as [string[], number][]
  ) {
    const result = await box.rum(["-o", "json", ...args]);
    assert.equal(result.code, code, `rum ${args.join(" ")}: ${result.stderr}`);
    if (code !== 0) assert.equal(result.error.exit, code, args.join(" "));
  }
  assert.equal((await box.rum(["-o", "json", "exec", "true"])).error.origin, "rum");
});

Deno.test("list, status and help open no library: they work where none may be opened", async () => {
  await using box = await sandbox();
  await box.config(`[image]\nbase = "debian-12"\n`);
  for (const args of [["--help"], ["list"], ["status"], ["events"], ["log", "--list"]]) {
    const { stderr } = await withoutLibraries(box, args);
    assert.doesNotMatch(stderr, /ffi|libvirt|NotCapable/i, args.join(" "));
  }
});

function withoutLibraries(box: Sandbox, args: string[]): Promise<{ code: number; stderr: string }> {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "-A", "--deny-ffi", MAIN, ...args],
    cwd: box.project,
    env: { ...box.env },
    clearEnv: true,
    stdin: "null",
  }).output().then(({ code, stderr }) => ({ code, stderr: new TextDecoder().decode(stderr) }));
}
