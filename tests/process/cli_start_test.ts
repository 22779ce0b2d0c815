/** What must answer on a host with nothing on it: no machine, no libvirt, no rum.toml. */
import assert from "node:assert/strict";
import { rumCommand, type Sandbox, sandbox } from "../support/rum.ts";

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

Deno.test("status of an absent machine and its unit have the name of rum.toml, and a mistake is told", async () => {
  await using box = await sandbox();
  await box.config(`name = "other"\n[image]\nbase = "debian-12"\n`);
  assert.equal((await box.ok(["status", "-o", "json"])).json.name, "other");
  assert.match((await box.ok(["daemon", "unit"])).stdout, /^Description=rum machine other \(/m);
  await box.config(`name = 7\n`);
  const { json } = await box.ok(["status", "-o", "json"]);
  assert.match(json.degraded.join(), /rum\.toml has a mistake.*rum config check/);
  assert.match((await box.ok(["daemon", "unit"])).stdout, /^Description=rum machine project \(/m);
});

Deno.test("trust is taken back by the file's place, whatever it says by then; contraries are refused", async () => {
  await using box = await sandbox();
  const path = await Deno.realPath(
    await box.config(
      `[image]\nbase = "debian-12"\n[on.ready]\nexec = ["true"]\n`,
    ),
  );
  assert.equal((await box.ok(["trust", "--yes", "-o", "json"])).json.trusted, true);
  await box.config(`this is [not TOML`);
  const back = await box.ok(["trust", "--revoke", "-o", "json"]);
  assert.deepEqual(back.json, { v: 1, type: "trust_revoked", path, revoked: true });
  assert.match((await box.ok(["trust", "--revoke"])).stdout, /was not approved/);
  for (const words of [["--show", "--yes"], ["--revoke", "--yes"], ["--revoke", "--show"]]) {
    const { code, stderr } = await box.rum(["trust", ...words]);
    assert.deepEqual([code, /together/.test(stderr)], [2, true], stderr);
  }
});

Deno.test("what cannot be obeyed is refused by the name under which it was given", async () => {
  await using box = await sandbox();
  await box.config(`[image]\nbase = "debian-12"\n`);
  const rows: [string[], Record<string, string>, number, RegExp][] = [
    [["list", "--timeout", "x"], { RUM_TIMEOUT: "y" }, 2, /Cannot read --timeout "x"/],
    [["list"], { RUM_QUIET: "maybe" }, 2, /Cannot read RUM_QUIET "maybe": wanted 1 or 0/],
    [["list"], { RUM_QUIET: "0", RUM_VERBOSE: "no" }, 0, /No machines/],
    [["log", "--failed", "--source", "boot"], {}, 2, /together/],
    [["log", "--list", "--failed"], {}, 2, /together/],
    [
      ["log", "--source", "agent", "--follow"],
      {},
      2,
      /Cannot use --follow with the log of the agent/,
    ],
    [["screenshot", "-o", "json"], {}, 2, /-o of screenshot names the file; wanted --output json/],
    [["screenshot", "-o", "/"], {}, 2, /it is a folder/],
    [["screenshot", "-o", ""], {}, 2, /a file without a name/],
    [["cp", "", ":/tmp"], {}, 2, /one of the two sides is empty/],
    [
      ["-c", "gone/rum.toml", "init", "--defaults"],
      {},
      4,
      /there is no folder .*\n +hint: mkdir -p /,
    ],
  ];
  for (const [args, env, code, says] of rows) {
    const result = await box.rum(args, { env });
    assert.equal(result.code, code, `rum ${args.join(" ")}: ${result.stderr}`);
    assert.match(result.stdout + result.stderr, says, args.join(" "));
  }
});

Deno.test("help is a document where JSON is asked for; a full output is a failure of the host", async () => {
  await using box = await sandbox();
  const root = await box.ok(["--help", "-o", "json"]);
  assert.deepEqual([root.json.type, root.json.verb], ["help", []]);
  const { json } = await box.ok(["help", "image", "build", "-o", "json"]);
  assert.deepEqual(json.verb, ["image", "build"]);
  assert.match(json.text, /^Usage: rum image build/);
  const full = await new Deno.Command("sh", {
    args: ["-c", `"$@" > /dev/full`, "sh", ...rumCommand(), "list"],
    env: { ...box.env },
    clearEnv: true,
    stdin: "null",
  }).output();
  const said = new TextDecoder().decode(full.stderr);
  assert.deepEqual([full.code, /Cannot write the output: no space/.test(said)], [12, true], said);
});

Deno.test("init and a missing -c FILE say the command that fits the file", async () => {
  await using box = await sandbox();
  const missing = await box.rum(["-c", "dev.rum.toml", "status", "-o", "json"]);
  assert.equal(missing.error.hint, `rum -c ${await Deno.realPath(box.project)}/dev.rum.toml init`);
  const named = await box.ok(["-c", "dev.rum.toml", "init", "--defaults"]);
  assert.match(named.stdout, /Next: rum -c dev\.rum\.toml up\n/);
  assert.match((await box.ok(["init", "--defaults"])).stdout, /Next: rum up\n/);
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

Deno.test("--timeout, or RUM_TIMEOUT, calls a download off: 124 and one JSON object", async () => {
  await using box = await sandbox();
  const silence = Promise.withResolvers<Response>();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => silence.promise,
  );
  const url = `http://127.0.0.1:${server.addr.port}/image.qcow2`;
  await box.config(`[image]\nbase = "${url}"\nsha256 = "${"0".repeat(64)}"\n`);
  const env = { XDG_CACHE_HOME: `${box.home}/cache` };
  for (
    const [args, more] of [
      [["--timeout", "1s", "image", "pull", "-o", "json"], {}],
      [["image", "pull"], { RUM_TIMEOUT: "1s", RUM_OUTPUT: "json" }],
    ] as [string[], Record<string, string>][]
  ) {
    const result = await box.rum(args, { env: { ...env, ...more } });
    assert.equal(result.code, 124, result.stderr);
    assert.equal(result.error.code, "timeout");
    assert.match(result.error.message, /"rum image pull" took longer than 1.* and was called off/);
  }
  silence.resolve(new Response(""));
  await server.shutdown();
});

Deno.test("each global option has its equal in the environment, and the option wins", async () => {
  await using box = await sandbox();
  await box.config(`[image]\nbase = "debian-12"\n`, "other.toml");
  const rows: [string[], Record<string, string>, number, RegExp][] = [
    [["config", "check"], { RUM_CONFIG: "other.toml" }, 0, /other\.toml is good/],
    [["config", "check", "-c", "none.toml"], { RUM_CONFIG: "other.toml" }, 4, /none\.toml/],
    [["status"], { RUM_MACHINE: "nobody" }, 4, /No machine of yours is called "nobody"/],
    [["-m", "somebody", "status"], { RUM_MACHINE: "nobody" }, 4, /"somebody"/],
    [["list"], { RUM_OUTPUT: "json" }, 0, /"type":"list"/],
    [["list", "-o", "plain"], { RUM_OUTPUT: "json" }, 0, /^No machines/],
    [["list"], { RUM_OUTPUT: "loud" }, 2, /RUM_OUTPUT "loud"/],
    [["list"], { RUM_TIMEOUT: "soon" }, 2, /RUM_TIMEOUT "soon"/],
    [["list"], { RUM_OUTPUT: "", RUM_TIMEOUT: "", RUM_CONFIG: "", RUM_VERBOSE: "" }, 0, /^No/],
    [["init"], { RUM_NO_INPUT: "1" }, 2, /no terminal/],
    [["-c", "/proc/self/mem", "config", "check"], { RUM_VERBOSE: "1" }, 3, /because: /],
    [["-c", "/proc/self/mem", "config", "check", "-v"], {}, 3, /because: /],
    [["exec", "--nonsense", "ls"], { RUM_OUTPUT: "json" }, 255, /"code":"usage".*"origin":"rum"/],
  ];
  for (const [args, env, code, says] of rows) {
    const result = await box.rum(args, { env });
    const line = `${JSON.stringify(env)} rum ${args.join(" ")}: ${result.stdout}${result.stderr}`;
    assert.equal(result.code, code, line);
    assert.match(result.stdout + result.stderr, says, line);
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(result.stdout + result.stderr, /\x1b/, line);
  }
});
