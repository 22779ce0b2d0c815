import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { parseAnswer } from "../../../src/daemon/ask_line.ts";
import { DaemonLog, logTail } from "../../../src/daemon/daemon_log.ts";
import { greet, introduce } from "../../../src/daemon/handshake.ts";
import { notifyReady } from "../../../src/daemon/notify.ts";
import { Places } from "../../../src/daemon/places.ts";
import { selfCheck } from "../../../src/daemon/self_check.ts";
import { daemonEnv, LEAN, selfCommand } from "../../../src/daemon/self_command.ts";
import { unitText } from "../../../src/daemon/unit.ts";
import { commonProtocol } from "../../../src/protocol/daemon.ts";
import { FrameReader, FrameWriter } from "../../../src/wire/frames.ts";
import { duplexPair } from "../../../src/wire/pipe.ts";
import type { Clock } from "../../../src/base/clock.ts";

const code = (name: string) => (error: unknown) => error instanceof RumError && error.code === name;

Deno.test("the oldest silent connection makes room; a speaking one is never put out", () => {
  const places = new Places({ waiting: 2, established: 2, lineReserve: 1 });
  const sent: number[] = [];
  for (const id of [1, 2]) places.arrive(id, () => sent.push(id));
  assert.ok(places.establish(1));
  for (const id of [3, 4, 5]) places.arrive(id, () => sent.push(id));
  assert.deepEqual(sent, [2, 3]);
  assert.equal(places.establish(2), false, "sent away");
  assert.ok(places.establish(4));
  assert.equal(places.establish(5), false, "no third place");
  places.arrive(6, () => {});
  assert.ok(places.speakLine(6), "a place is kept for the line protocol");
  places.arrive(7, () => {});
  assert.equal(places.speakLine(7), false);
  places.leave(1);
  places.arrive(8, () => {});
  assert.ok(places.speakLine(8), "lines use free places too");
});

Deno.test("a connection that spoke while this process was held up is heard before it is sent away", async () => {
  const places = new Places({ waiting: 1, established: 1, lineReserve: 1 });
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using client = await Deno.connect({ hostname: "127.0.0.1", port: listener.addr.port });
  using server = await listener.accept();
  places.arrive(1, () => assert.fail("sent away"));
  const heard = server.read(new Uint8Array(1)).then(() => places.establish(1));
  await client.write(new Uint8Array(1));
  // No turn of the event loop for longer than a newcomer has to speak.
  for (const end = performance.now() + 150; performance.now() < end;);
  await places.room();
  places.arrive(2, () => {});
  assert.ok(await heard);
});

Deno.test("protocol ranges that meet agree on the highest common one", () => {
  const cases: [number, number, number, number, number | undefined][] = [
    [1, 1, 1, 1, 1],
    [1, 3, 2, 5, 3],
    [4, 5, 1, 3, undefined],
    [2, 2, 1, 9, 2],
  ];
  for (const [a, b, c, d, want] of cases) {
    assert.equal(commonProtocol({ min: a, max: b }, { min: c, max: d }), want);
    assert.equal(commonProtocol({ min: c, max: d }, { min: a, max: b }), want);
  }
});

const info = { version: "1.0.0", build: "b", capabilities: ["x"], configHash: () => "h" };

async function meet(
  tokens: { daemon: string; client: string },
  protocol?: { min: number; max: number },
) {
  const [near, far] = duplexPair();
  const heard: string[] = [];
  const spy = far.readable.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        heard.push(new TextDecoder().decode(chunk));
        controller.enqueue(chunk);
      },
    }),
  );
  const writer = new FrameWriter(far.writable);
  const greeted = greet(new FrameReader(spy), writer, {
    info,
    token: () => Promise.resolve(tokens.daemon),
    protocol,
  }).catch((error) => error);
  const introduced = introduce(new FrameReader(near.readable), new FrameWriter(near.writable), {
    token: tokens.client,
    version: "1.0.1",
    build: "c",
  }).catch((error) => error);
  const client = await Promise.race([introduced, greeted.then(() => introduced, () => introduced)]
    .concat(protocol === undefined ? [] : [greeted]));
  near.abort();
  return { client, daemon: await greeted, heard: heard.join("") };
}

Deno.test("both sides prove the token, and it never travels", async () => {
  const token = "a".repeat(64);
  const { client, daemon, heard } = await meet({ daemon: token, client: token });
  assert.equal(client.version, "1.0.0");
  assert.equal(client.config_hash, "h");
  assert.deepEqual(client.capabilities, ["x"]);
  assert.equal(daemon.version, "1.0.1");
  assert.ok(!heard.includes(token));
});

Deno.test("a daemon that does not know the token is not talked to", async () => {
  const { client } = await meet({ daemon: "one", client: "other" });
  assert.ok(code("unauthorized")(client), String(client));
});

Deno.test("no common protocol is refused with both ranges", async () => {
  const { daemon } = await meet({ daemon: "t", client: "t" }, { min: 7, max: 9 });
  assert.ok(code("version_mismatch")(daemon), String(daemon));
  assert.match(daemon.message, /7 to 9.*1 to 1/);
});

Deno.test("a client that guesses the proof is refused", async () => {
  const [near, far] = duplexPair();
  const greeted = greet(new FrameReader(far.readable), new FrameWriter(far.writable), {
    info,
    token: () => Promise.resolve("secret"),
  });
  greeted.catch(() => {});
  const writer = new FrameWriter(near.writable);
  const reader = new FrameReader(near.readable);
  await writer.send({
    hello: { proto: { min: 1, max: 1 }, version: "1", build: "", nonce: "00" },
  });
  const { welcome } = (await reader.next())!.value as { welcome: { proof: string } };
  // The daemon's own proof, sent back, is the nearest guess.
  await writer.send({ proof: welcome.proof });
  await assert.rejects(greeted, code("unauthorized"));
});

Deno.test("answers of the line protocol are read, also those of a rum that does not exist yet", () => {
  assert.deepEqual(parseAnswer('ok {"pid":1}\n', "ping"), { pid: 1 });
  assert.throws(() => parseAnswer("error busy down since 10:00\n", "release"), code("busy"));
  assert.throws(() => parseAnswer("error from_the_future x\n", "ping"), code("internal"));
  for (const text of ["what\n", "ok null\n", "ok 5\n", "ok []\n", "ok {\n"]) {
    assert.throws(() => parseAnswer(text, "ping"), code("protocol_error"), text);
  }
  assert.throws(() => parseAnswer("", "ping"), code("daemon_unreachable"));
});

Deno.test("the daemon's log keeps five files, and HUP after a move starts a new one", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/daemon.log`;
  const log = new DaemonLog(path, { maxBytes: 200, keep: 5, now: () => new Date(0) });
  try {
    for (let n = 0; n < 40; n++) log.line(`line ${n} \x1b[2Jwith a control`);
    const names = [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
    assert.deepEqual(
      names,
      [1, 2, 3, 4].map((n) => `daemon.log.${n}`).toSpliced(0, 0, "daemon.log"),
    );
    assert.equal((await logTail(path, 1))[0], "1970-01-01T00:00:00.000Z line 39 with a control");
    await Deno.rename(path, `${folder}/moved`);
    log.reopen();
    log.line("after HUP");
    assert.match(await Deno.readTextFile(path), /after HUP/);
    assert.equal((await Deno.stat(path)).mode! & 0o777, 0o600);
    await Deno.remove(folder, { recursive: true });
    log.line("nobody reads this, and nothing fails");
    log.reopen();
  } finally {
    log.close();
  }
});

function turned() {
  const sleepers: (() => void)[] = [];
  const sleeps: number[] = [];
  const clock: Clock = {
    now: () => new Date(0),
    monotonicMs: () => 0,
    sleep: (ms) => {
      sleeps.push(ms);
      return new Promise<void>((resolve) => sleepers.push(resolve));
    },
  };
  /** Until the clock was asked to sleep for the nth time. */
  const asleep = async (n: number) => {
    while (sleeps.length < n) await new Promise((resolve) => setTimeout(resolve, 0));
  };
  let turns = 0;
  const turn = async () => {
    await asleep(++turns);
    sleepers.shift()!();
  };
  return { ...clock, sleeps, asleep, turn };
}

for (
  const [what, harm, pattern] of [
    ["its folder is gone", (f: string) => Deno.remove(f, { recursive: true }), /folder .* is gone/],
    ["its socket is another's", (_: string) => Promise.resolve(), /not our socket/],
  ] as const
) {
  Deno.test(`the self-check looks every 5 s and tells that ${what}`, async () => {
    const folder = await Deno.makeTempDir();
    const clock = turned();
    let ours = true;
    const checked = selfCheck({
      folder,
      socket: `${folder}/rum.sock`,
      stillOurs: () => Promise.resolve(ours),
      signal: new AbortController().signal,
      clock,
    });
    await clock.turn();
    await clock.turn();
    await clock.asleep(3);
    await harm(folder);
    ours = false;
    await clock.turn();
    assert.match(await checked ?? "", pattern);
    assert.deepEqual(clock.sleeps, [5000, 5000, 5000]);
  });
}

Deno.test("each form of rum knows how to start itself, with absolute paths", () => {
  const args = ["up", "--serve", "deadbeef"];
  assert.deepEqual(selfCommand(args, { form: "compiled", executable: "/bin/rum", program: "" }), [
    "/bin/rum",
    ...args,
  ]);
  const packed = selfCommand(args, {
    form: "self-extracting",
    executable: "/c/deno",
    program: "/c/app/rum.js",
  });
  assert.deepEqual([packed[0], ...packed.slice(-4)], ["/c/deno", "/c/app/rum.js", ...args]);
  assert.ok(packed.includes("--cached-only"));
  const source = selfCommand(args);
  assert.match(source.at(-4)!, /^\/.*\/main\.ts$/);
  Deno.statSync(source.at(-4)!);
});

Deno.test("a daemon does not inherit its starter's service manager", () => {
  assert.deepEqual(daemonEnv({ HOME: "/h", NOTIFY_SOCKET: "/run/n", GONE: undefined }), {
    HOME: "/h",
    DENO_V8_FLAGS: LEAN.DENO_V8_FLAGS,
    MALLOC_ARENA_MAX: "1",
  });
  assert.equal(daemonEnv({ DENO_V8_FLAGS: "--mine" }).DENO_V8_FLAGS, "--mine");
});

Deno.test("a daemon of a built file does not share its compiled code with commands, whose flags differ", () => {
  const self = {
    form: "self-extracting",
    executable: "/c/deno",
    program: "/c/app/rum.js",
  } as const;
  assert.equal(daemonEnv({ DENO_DIR: "/c/cache" }, self).DENO_DIR, "/c/cache/flags");
  assert.equal(daemonEnv({ DENO_DIR: "/c/cache/flags" }, self).DENO_DIR, "/c/cache/flags");
});

// The C library stays open once it was opened, on purpose.
Deno.test({
  name: "READY=1 reaches a service manager's socket, by path and by abstract name",
  sanitizeResources: false,
}, async () => {
  const folder = await Deno.makeTempDir();
  for (const name of [`${folder}/notify`, `@rum-test-${Deno.pid}`]) {
    const listener = new Deno.Command("perl", {
      args: [
        "-MSocket",
        "-e",
        "$| = 1; my $n = $ARGV[0]; $n =~ s/^@/\\0/; socket(my $s, AF_UNIX, SOCK_DGRAM, 0); " +
        'bind($s, pack("S a*", AF_UNIX, $n)) or die $!; print "bound\n"; alarm 20; ' +
        "recv($s, my $m, 200, 0); print $m;",
        name,
      ],
      stdout: "piped",
    }).spawn();
    const reader = listener.stdout.getReader();
    await reader.read();
    assert.equal(notifyReady(name), true);
    const got = new TextDecoder().decode((await reader.read()).value);
    assert.match(got, /^READY=1\n/);
    while (!(await reader.read()).done);
    await listener.status;
  }
  assert.equal(notifyReady(`${folder}/nobody`), false);
  assert.equal(notifyReady(undefined), false);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a systemd unit quotes what systemd would read otherwise, and spares the machine", () => {
  const text = unitText({
    id: "deadbeef",
    name: "100%",
    command: ["/opt/a b/rum", "--config", '/p/$x "y"%/rum.toml', "up", "--serve", "deadbeef"],
    env: { XDG_DATA_HOME: "/data" },
  });
  assert.match(text, /^Description=rum machine 100%% \(deadbeef\)$/m);
  assert.match(
    text,
    /^ExecStart="\/opt\/a b\/rum" --config "\/p\/\$\$x \\"y\\"%%\/rum.toml" up --serve deadbeef$/m,
  );
  assert.match(text, /^KillMode=process$/m);
  assert.match(text, /^Type=notify$/m);
  assert.match(text, /^Environment=XDG_DATA_HOME=\/data$/m);
});
