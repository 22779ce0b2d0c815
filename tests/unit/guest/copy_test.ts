/** Copies through the whole way: local files, the daemon's `cp` call, the real agent. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { accountOf } from "../../../agent/accounts.ts";
import { decodeName, encodeName, Folder } from "../../../ffi/folders.ts";
import { RumError } from "../../../src/base/errors.ts";
import {
  copyFromGuest,
  type CopyOptions,
  copyToGuest,
  type GuestOwner,
  placeIn,
  split,
  streamFromGuest,
  streamToGuest,
} from "../../../src/guest/copy.ts";
import { FileTarget, TreeTarget } from "../../../src/guest/copy_target.ts";
import type { FileMeta } from "../../../src/protocol/agent.ts";
import { encodeJson, KIND } from "../../../src/protocol/calls.ts";
import { cpLink } from "../../../src/daemon/client_stream.ts";
import { writeToGuest } from "../../../src/guest/agent_files.ts";
import type { RequestOptions } from "../../../src/wire/rpc_client.ts";
import { type CpBed, cpBed } from "../../support/cp_bed.ts";
import { until } from "../../support/folder_bed.ts";

const ALL: CopyOptions = { recursive: true };
const owner = () => undefined;
const bytesOf = (text: string) => new TextEncoder().encode(text);
const sha256 = (path: string) => createHash("sha256").update(Deno.readFileSync(path)).digest("hex");

function up(bed: CpBed, from: string, to: string, options: CopyOptions = ALL) {
  return copyToGuest(bed.mux, { from, to, owner }, options);
}

Deno.test("cp: a file goes in and comes out with bytes, mode, time and one digest", async () => {
  await using bed = await cpBed();
  const content = crypto.getRandomValues(new Uint8Array(65536));
  const parts = new Uint8Array(3_000_001);
  for (let at = 0; at < parts.length; at += content.length) {
    parts.set(content.subarray(0, Math.min(content.length, parts.length - at)), at);
  }
  await Deno.writeFile(`${bed.host}/a`, parts, { mode: 0o640 });
  await Deno.utime(`${bed.host}/a`, 1_600_000_000, 1_600_000_000);
  let moved = 0;
  const there = await up(bed, `${bed.host}/a`, `${bed.guest}/b`, {
    ...ALL,
    progress: (n) => void (moved += n),
  });
  assert.deepEqual([there.bytes, there.files, moved], [parts.length, 1, parts.length]);
  const back = await copyFromGuest(bed.mux, { from: `${bed.guest}/b`, to: `${bed.host}/c` }, ALL);
  assert.equal(back.digest, there.digest);
  assert.equal(there.digest, sha256(`${bed.host}/a`));
  assert.equal(sha256(`${bed.host}/c`), there.digest);
  const { mode, mtime } = await Deno.stat(`${bed.host}/c`);
  assert.deepEqual([mode! & 0o7777, mtime!.getTime()], [0o640, 1_600_000_000_000]);
  assert.deepEqual(bed.names(bed.host), ["a", "c"]);
});

Deno.test("cp: names with spaces, newlines and bytes that are no UTF-8 go both ways unharmed", async () => {
  await using bed = await cpBed();
  const odd = [
    bytesOf("with space"),
    bytesOf("new\nline"),
    Uint8Array.from([0x61, 0xff, 0xfe, 0x62]),
    Uint8Array.from([0xc3, 0x28]),
    Uint8Array.from([0xed, 0xb3, 0xbf]),
    bytesOf("ünï"),
  ];
  await Deno.mkdir(`${bed.host}/t`);
  {
    using folder = Folder.open(`${bed.host}/t`);
    for (const [i, name] of odd.entries()) {
      folder.makeFolder(decodeName(name), 0o755);
      using inner = folder.folder(decodeName(name));
      await Deno.writeTextFile(`${inner.path}/x`, `content ${i}`);
      inner.rename("x", decodeName(name));
      inner.makeLink("link", decodeName(name));
    }
  }
  const there = await up(bed, `${bed.host}/t`, `${bed.guest}/t`);
  assert.equal(there.files, odd.length);
  const back = await copyFromGuest(bed.mux, { from: `${bed.guest}/t`, to: `${bed.host}/u` }, ALL);
  assert.equal(back.files, odd.length);
  using folder = Folder.open(`${bed.host}/u`);
  const found = folder.names().map((name) => encodeName(name).toHex()).sort();
  assert.deepEqual(found, odd.map((name) => name.toHex()).sort());
  for (const [i, name] of odd.entries()) {
    using inner = folder.folder(decodeName(name));
    using file = inner.held(decodeName(name));
    assert.equal(await Deno.readTextFile(file.path), `content ${i}`);
    using link = inner.held("link");
    assert.equal(encodeName(link.target()).toHex(), name.toHex());
  }
});

Deno.test("cp: a large file of holes is sparse on the other side, both ways", async () => {
  await using bed = await cpBed();
  const size = Deno.env.get("FULL") === "1" ? 2 ** 30 : 64 * 2 ** 20;
  {
    using file = await Deno.open(`${bed.host}/s`, { write: true, createNew: true });
    await file.write(bytesOf("begin"));
    await file.seek(size / 2, Deno.SeekMode.Start);
    await file.write(bytesOf("middle"));
    await file.truncate(size);
  }
  await up(bed, `${bed.host}/s`, `${bed.guest}/s`);
  await copyFromGuest(bed.mux, { from: `${bed.guest}/s`, to: `${bed.host}/r` }, ALL);
  for (const path of [`${bed.guest}/s`, `${bed.host}/r`]) {
    const info = await Deno.stat(path);
    assert.equal(info.size, size);
    assert.ok(info.blocks! * 512 < 1024 * 1024, `${path}: ${info.blocks} blocks`);
    assert.equal(sha256(path), sha256(`${bed.host}/s`));
  }
});

Deno.test("cp: a tree of many files arrives whole, folders with their own modes and times", async () => {
  await using bed = await cpBed();
  const count = Deno.env.get("FULL") === "1" ? 5000 : 600;
  await Deno.mkdir(`${bed.host}/t`);
  for (let n = 0; n < count; n++) {
    const folder = `${bed.host}/t/${n % 17}/${n % 5}`;
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/${n}`, `file ${n}\n`);
  }
  await Deno.mkdir(`${bed.host}/t/closed`);
  await Deno.writeTextFile(`${bed.host}/t/closed/in`, "inside");
  await Deno.chmod(`${bed.host}/t/closed`, 0o500);
  await Deno.utime(`${bed.host}/t/closed`, 1_500_000_000, 1_500_000_000);
  const there = await up(bed, `${bed.host}/t`, `${bed.guest}/t`);
  assert.equal(there.files, count + 1);
  const back = await copyFromGuest(bed.mux, { from: `${bed.guest}/t`, to: `${bed.host}/u` }, ALL);
  assert.equal(back.files, count + 1);
  const diff = await new Deno.Command("diff", { args: ["-r", `${bed.host}/t`, `${bed.host}/u`] })
    .output();
  assert.equal(new TextDecoder().decode(diff.stdout), "");
  const { mode, mtime } = await Deno.stat(`${bed.host}/u/closed`);
  assert.deepEqual([mode! & 0o7777, mtime!.getTime()], [0o500, 1_500_000_000_000]);
});

Deno.test("cp: a folder that is there keeps its mode, what is new in it has its own", async () => {
  await using bed = await cpBed();
  const modeOf = (path: string) => Deno.lstatSync(path).mode! & 0o7777;
  const old = 1_400_000_000;
  for (const side of [bed.host, bed.guest]) {
    for (
      const [path, mode] of [["from", 0o777], ["from/sub", 0o777], ["from/new", 0o711]] as const
    ) {
      await Deno.mkdir(`${side}/${path}`);
      await Deno.writeTextFile(`${side}/${path}/f`, "x");
      await Deno.chmod(`${side}/${path}`, mode);
    }
    await Deno.utime(`${side}/from/new`, old, old);
    await Deno.mkdir(`${side}/to/sub`, { recursive: true });
    for (const path of ["to", "to/sub"]) await Deno.chmod(`${side}/${path}`, 0o700);
  }
  await up(bed, `${bed.host}/from/.`, `${bed.guest}/to`);
  await copyFromGuest(bed.mux, { from: `${bed.guest}/from/.`, to: `${bed.host}/to` }, ALL);
  for (const side of [bed.host, bed.guest]) {
    assert.deepEqual(["to", "to/sub", "to/new"].map((path) => modeOf(`${side}/${path}`)), [
      0o700,
      0o700,
      0o711,
    ]);
    assert.equal((await Deno.stat(`${side}/to/new`)).mtime!.getTime(), old * 1000);
    assert.ok((await Deno.stat(`${side}/to/sub`)).mtime!.getTime() > old * 1000);
    assert.deepEqual(bed.names(`${side}/to`), ["f", "new", "sub"]);
    assert.deepEqual(bed.names(`${side}/to/sub`), ["f"]);
  }
});

Deno.test("cp: a tree that breaks off leaves no folder closed that a second copy would leave so", async () => {
  await using bed = await cpBed();
  for (const path of ["t", "t/a", "t/a/b"]) {
    await Deno.mkdir(`${bed.host}/${path}`);
    await Deno.chmod(`${bed.host}/${path}`, 0o755);
  }
  await Deno.writeFile(`${bed.host}/t/a/b/big`, new Uint8Array(16 * 2 ** 20).fill(1));
  const tops = [`${bed.guest}/t`, `${bed.host}/u`];
  for (const to of tops) {
    const stop = new AbortController();
    const progress = () => stop.abort(new Error("enough"));
    const options = { ...ALL, signal: stop.signal, progress };
    await assert.rejects(
      to.startsWith(bed.guest)
        ? up(bed, `${bed.host}/t`, to, options)
        : copyFromGuest(bed.mux, { from: `${bed.host}/t`, to }, options),
      /enough/,
    );
    for (const path of ["", "/a", "/a/b"]) {
      const wanted = to.startsWith(bed.guest) ? 0o755 : 0o755 & ~Deno.umask();
      const mode = () => Deno.lstatSync(to + path).mode! & 0o7777;
      await until(() => mode() === wanted, () => `${to}${path} ${mode().toString(8)}`);
    }
  }
});

const FULL_DISK = "cp: a full target is disk_full, names the side and leaves the old file";

// A small disk has to be mounted.
Deno.test(FULL_DISK, { ignore: Deno.uid() !== 0 }, async () => {
  await using bed = await cpBed();
  await using small = await bed.smallDisk(2);
  await Deno.writeTextFile(`${small.path}/f`, "old");
  await Deno.writeFile(`${bed.host}/big`, new Uint8Array(8 * 2 ** 20).fill(1));
  await assert.rejects(
    up(bed, `${bed.host}/big`, `${small.path}/f`),
    (error) =>
      error instanceof RumError && error.code === "disk_full" && /guest/.test(error.message),
  );
  await assert.rejects(
    copyFromGuest(bed.mux, { from: `${bed.host}/big`, to: `${small.path}/f` }, ALL),
    (error) =>
      error instanceof RumError && error.code === "disk_full" && /host/.test(error.message),
  );
  assert.equal(await Deno.readTextFile(`${small.path}/f`), "old");
  assert.deepEqual(bed.names(small.path), ["f"]);
});

Deno.test("cp: called off in the middle, the old file stays and nothing else", async () => {
  await using bed = await cpBed();
  for (const side of [bed.guest, bed.host]) await Deno.writeTextFile(`${side}/f`, "old");
  await Deno.writeFile(`${bed.host}/big`, new Uint8Array(16 * 2 ** 20).fill(1));
  for (const direction of ["in", "out"]) {
    const stop = new AbortController();
    const options = {
      ...ALL,
      signal: stop.signal,
      progress: () => stop.abort(new Error("enough")),
    };
    await assert.rejects(
      direction === "in"
        ? up(bed, `${bed.host}/big`, `${bed.guest}/f`, options)
        : copyFromGuest(bed.mux, { from: `${bed.host}/big`, to: `${bed.host}/f` }, options),
    );
  }
  while (bed.names(bed.guest).length > 1) await new Promise((done) => setTimeout(done, 5));
  assert.equal(await Deno.readTextFile(`${bed.guest}/f`), "old");
  assert.equal(await Deno.readTextFile(`${bed.host}/f`), "old");
  assert.deepEqual(bed.names(bed.host), ["big", "f"]);
});

Deno.test("cp: stdin and stdout are files too", async () => {
  await using bed = await cpBed();
  const there = await streamToGuest(
    bed.mux,
    ReadableStream.from([bytesOf("from "), bytesOf("a pipe")]),
    { to: `${bed.guest}/p`, owner },
    {},
  );
  assert.equal(there.bytes, 11);
  let text = "";
  const back = await streamFromGuest(bed.mux, `${bed.guest}/p`, (chunk) => {
    text += new TextDecoder().decode(chunk);
    return Promise.resolve();
  }, {});
  assert.equal(text, "from a pipe");
  assert.equal(back.digest, there.digest);
});

Deno.test("cp: a link to a file is followed to the file, into the guest as out of it", async () => {
  await using bed = await cpBed();
  for (const side of [bed.host, bed.guest]) {
    await Deno.mkdir(`${side}/far`);
    await Deno.writeTextFile(`${side}/far/real`, "old");
    await Deno.symlink("far/real", `${side}/link`);
    await Deno.writeTextFile(`${side}/new`, "new");
  }
  await up(bed, `${bed.host}/new`, `${bed.guest}/link`);
  await copyFromGuest(bed.mux, { from: `${bed.guest}/new`, to: `${bed.host}/link` }, ALL);
  for (const side of [bed.host, bed.guest]) {
    assert.equal(await Deno.readLink(`${side}/link`), "far/real");
    assert.equal(await Deno.readTextFile(`${side}/far/real`), "new");
    assert.deepEqual(bed.names(`${side}/far`), ["real"]);
  }
  await streamToGuest(bed.mux, ReadableStream.from([bytesOf("piped")]), {
    to: `${bed.guest}/link`,
    owner,
  }, {});
  assert.equal(await Deno.readTextFile(`${bed.guest}/far/real`), "piped");
  assert.equal(await Deno.readLink(`${bed.guest}/link`), "far/real");
});

Deno.test("cp: stdin over a file keeps its permission bits, a file brings its own", async () => {
  await using bed = await cpBed();
  const to = `${bed.guest}/secret`;
  const pipe = (path: string) =>
    streamToGuest(bed.mux, ReadableStream.from([bytesOf("t")]), { to: path, owner }, {});
  const modeOf = (path: string) => Deno.lstatSync(path).mode! & 0o7777;
  await Deno.writeTextFile(to, "s", { mode: 0o600 });
  await pipe(to);
  assert.deepEqual([modeOf(to), await Deno.readTextFile(to)], [0o600, "t"]);
  await pipe(`${bed.guest}/fresh`);
  assert.equal(modeOf(`${bed.guest}/fresh`), 0o644);
  await Deno.writeTextFile(`${bed.host}/run`, "#!/bin/sh\n");
  await Deno.chmod(`${bed.host}/run`, 0o755);
  await up(bed, `${bed.host}/run`, to);
  assert.equal(modeOf(to), 0o755);
});

// Only root gives files away.
Deno.test(
  "cp: what is there keeps its owner unless one is named, what is new has the one it is due",
  {
    ignore: Deno.uid() !== 0,
  },
  async () => {
    await using bed = await cpBed();
    const nobody = (await accountOf("nobody"))!;
    const rows: [owner: GuestOwner | undefined, there: number, fresh: number][] = [
      [undefined, 1234, 0],
      [{ user: "nobody", ofNew: true }, 1234, nobody.uid],
      [{ user: "nobody", ofNew: false }, nobody.uid, nobody.uid],
    ];
    await Deno.mkdir(`${bed.host}/t/sub`, { recursive: true });
    for (const path of ["f", "t/f", "t/fresh", "t/sub/fresh"]) {
      await Deno.writeTextFile(`${bed.host}/${path}`, "new");
    }
    for (const [given, there, fresh] of rows) {
      const top = `${bed.guest}/${rows.findIndex(([owner]) => owner === given)}`;
      await Deno.mkdir(`${top}/t`, { recursive: true });
      for (const path of ["f", "p", "t/f"]) {
        await Deno.writeTextFile(`${top}/${path}`, "old");
        await Deno.chown(`${top}/${path}`, 1234, 1234);
      }
      await Deno.chown(`${top}/t`, 1234, 1234);
      const owner = () => given;
      const into = (from: string, to: string) =>
        copyToGuest(bed.mux, { from: `${bed.host}/${from}`, to: `${top}/${to}`, owner }, ALL);
      await into("f", "f");
      await into("f", "fresh");
      await into("t/.", "t");
      await streamToGuest(
        bed.mux,
        ReadableStream.from([bytesOf("new")]),
        { to: `${top}/p`, owner },
        {},
      );
      const found: Record<string, number | null> = {};
      for (const path of ["f", "p", "t/f", "fresh", "t/fresh", "t/sub", "t/sub/fresh", "t"]) {
        const { uid, gid, isFile } = Deno.lstatSync(`${top}/${path}`);
        assert.equal(gid, uid === nobody.uid ? nobody.gid : uid, path);
        if (isFile) assert.equal(await Deno.readTextFile(`${top}/${path}`), "new");
        found[path] = uid;
      }
      assert.deepEqual(found, {
        "f": there,
        "p": there,
        "t/f": there,
        "fresh": fresh,
        "t/fresh": fresh,
        "t/sub": fresh,
        "t/sub/fresh": fresh,
        // A folder is never given away.
        "t": 1234,
      });
    }
  },
);

Deno.test("cp: devices and sockets of this host are left out and named", async () => {
  await using bed = await cpBed();
  await Deno.mkdir(`${bed.host}/t`);
  await Deno.writeTextFile(`${bed.host}/t/f`, "x");
  await new Deno.Command("mkfifo", { args: [`${bed.host}/t/pipe`] }).output();
  const result = await up(bed, `${bed.host}/t`, `${bed.guest}/t`);
  assert.deepEqual(result.leftOut, ['"pipe" is a device, socket or pipe']);
  assert.deepEqual(bed.names(`${bed.guest}/t`), ["f"]);
});

Deno.test("cp: links that lead out of the guest's tree are left out, those inside stay", async () => {
  await using bed = await cpBed();
  await Deno.mkdir(`${bed.guest}/t/d`, { recursive: true });
  await Deno.symlink("/etc/passwd", `${bed.guest}/t/abs`);
  await Deno.symlink("../../../up", `${bed.guest}/t/d/up`);
  await Deno.symlink("../in", `${bed.guest}/t/d/in`);
  const result = await copyFromGuest(
    bed.mux,
    { from: `${bed.guest}/t`, to: `${bed.host}/t` },
    ALL,
  );
  assert.equal(result.leftOut.length, 2);
  assert.deepEqual(bed.names(`${bed.host}/t`), ["d"]);
  assert.deepEqual(bed.names(`${bed.host}/t/d`), ["in"]);
});

const META: FileMeta = { type: "file", size: 1, mode: 0o6755, mtimeMs: 0, uid: 0, gid: 0 };

Deno.test("cp: a link in the place of a folder is never followed on this host", async () => {
  await using bed = await cpBed();
  await Deno.mkdir(`${bed.host}/outside`);
  await Deno.mkdir(`${bed.host}/t`);
  await Deno.symlink("../outside", `${bed.host}/t/d`);
  using target = new TreeTarget(`${bed.host}/t`);
  await target.entry({ path: "", meta: { ...META, type: "folder", mode: 0o755 } });
  await assert.rejects(
    async () => {
      await target.entry({ path: "d", meta: { ...META, type: "folder", mode: 0o755 } });
      await target.entry({ path: "d/f", meta: META });
    },
    { code: "invalid_params", message: /Not a directory/ },
  );
  assert.deepEqual(bed.names(`${bed.host}/outside`), []);
});

Deno.test("cp: setuid from the guest stays in the guest", async () => {
  await using bed = await cpBed();
  using target = new FileTarget(`${bed.host}/f`);
  target.meta(META);
  await target.data(bytesOf("x"));
  await target.publish();
  assert.equal((await Deno.stat(`${bed.host}/f`)).mode! & 0o7777, 0o755);
});

Deno.test("cp: where a copy ends up is what cp -r would do", () => {
  const folder = { type: "folder" as const };
  const file = { type: "file" as const };
  const rows: [string, string, "folder" | "file" | undefined, "folder" | "file", string][] = [
    ["/a/f", "/x/y", undefined, "file", "/x/y"],
    ["/a/f", "/x", "folder", "file", "/x/f"],
    ["/a/f", "/x/", "folder", "file", "/x/f"],
    ["/a/f", "/x/y", "file", "file", "/x/y"],
    ["/a/d", "/x", "folder", "folder", "/x/d"],
    ["/a/d/", "/x", "folder", "folder", "/x/d"],
    ["/a/d/.", "/x", "folder", "folder", "/x"],
    ["/a/d", "/x/new", undefined, "folder", "/x/new"],
    ["/a/d", "/x/new/", undefined, "folder", "/x/new"],
    ["/a/f", "/", "folder", "file", "/f"],
  ];
  for (const [from, to, there, what, wanted] of rows) {
    const placed = placeIn(
      split(from),
      to,
      there === undefined ? undefined : { type: there },
      what === "file" ? file : folder,
    );
    assert.equal(placed, wanted, `${from} -> ${to}`);
  }
  for (
    const [from, to, there, what] of [
      ["/a/d", "/x", "file", folder],
      ["/a/f", "/x/", "file", file],
      ["/a/f", "/x/", undefined, file],
    ] as const
  ) {
    const meta = there === undefined ? undefined : { type: there };
    assert.throws(() => placeIn(split(from), to, meta, what), RumError);
  }
});

Deno.test("cp: a folder without -r and a device are refused before anything is sent", async () => {
  await using bed = await cpBed();
  await assert.rejects(up(bed, bed.host, bed.guest, { recursive: false }), {
    code: "invalid_params",
    hint: "rum cp -r",
  });
  await assert.rejects(up(bed, "/dev/null", `${bed.guest}/n`), { code: "invalid_params" });
  await assert.rejects(up(bed, `${bed.host}/nothing`, bed.guest), { code: "no_such_file" });
  await assert.rejects(
    copyFromGuest(bed.mux, { from: "/no/such/file", to: bed.host }, ALL),
    { code: "no_such_file" },
  );
});

Deno.test("cp: what the agent refuses is what is told, however the call ends behind it", async () => {
  await using bed = await cpBed();
  await Deno.writeTextFile(`${bed.host}/f`, "content");
  await Deno.writeTextFile(`${bed.guest}/file`, "no folder");
  const cases: [what: () => Promise<unknown>, code: string, message: RegExp][] = [
    [() => up(bed, `${bed.host}/f`, `${bed.guest}/trail/`), "no_such_file", /no such folder/],
    [() => up(bed, `${bed.host}/f`, `${bed.guest}/file/x`), "no_such_file", /no folder/],
    [() => up(bed, `${bed.host}/f`, `${bed.guest}/no/x`), "no_such_file", /does not exist/],
    [
      () => copyFromGuest(bed.mux, { from: bed.guest, to: bed.host }, { recursive: false }),
      "invalid_params",
      /it is a folder/,
    ],
  ];
  for (const [what, code, message] of cases) {
    for (let n = 0; n < 5; n++) {
      const thrown = await what().then(() => assert.fail("not refused"), (error) => error);
      // The call that was let go has ended with the daemon by now.
      await new Promise((resolve) => setTimeout(resolve, 5));
      const told = bed.link.cause(thrown) as RumError;
      assert.equal(told.code, code, told.message);
      assert.match(told.message, message);
    }
  }
});

Deno.test("cp: an answer that comes after the stream closed to its sender is the one that counts", async () => {
  const final = encodeJson(KIND.final, { error: { code: "disk_full", message: "It is full" } });
  const link = cpLink({
    // Takes the first bytes only, closes to the sender, and answers after that.
    request: (async (_method: string, _params: unknown, options: RequestOptions) => {
      const reader = options.input!.getReader();
      await reader.read();
      await new Promise((resolve) => setTimeout(resolve, 5));
      await reader.cancel(new Error("The call is over"));
      await new Promise((resolve) => setTimeout(resolve, 5));
      await options.onEvent?.({ stream: "data", data: final.toBase64() });
      await options.onEvent?.({ stream: "data", data: "", end: true });
      return {};
    }) as never,
  });
  const content = (async function* () {
    for (let n = 0; n < 64; n++) yield crypto.getRandomValues(new Uint8Array(60_000));
  })();
  const thrown = await writeToGuest(link.mux, { path: "/x" }, content).catch((error) => error);
  assert.equal((link.cause(thrown) as RumError).code, "disk_full");
});

Deno.test("cp: a daemon that refuses the call or goes is told in its own words, in mid-copy too", async () => {
  for (const early of [true, false]) {
    const gone = new RumError("daemon_failed", "It went away");
    const link = cpLink({
      request: (async (_method: string, _params: unknown, options: RequestOptions) => {
        const reader = options.input!.getReader();
        if (!early) await reader.read();
        await reader.cancel(gone);
        throw gone;
      }) as never,
    });
    const content = (async function* () {
      for (let n = 0; n < 64; n++) yield crypto.getRandomValues(new Uint8Array(60_000));
    })();
    const thrown = await writeToGuest(link.mux, { path: "/x" }, content).catch((error) => error);
    assert.equal(link.cause(thrown), gone);
  }
});
