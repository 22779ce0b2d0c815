/** Where and how the self-extracting file unpacks itself, with a tiny program inside. Needs root. */
import assert from "node:assert/strict";
import { until } from "../support/fake_guest.ts";
import { type Packed, packed } from "../support/packed.ts";

Deno.test("the packed program gets its arguments, umask and exit code untouched", async () => {
  await using rum = await packed();
  const said = await rum.run(["exec", "--", "a b", "*", "fail"], { before: "umask 027" });
  assert.equal(said.code, 7, said.stderr);
  assert.match(said.facts.args, /^run .*--unstable-vsock .*\S+\/app\/rum\.js exec -- a b \* fail$/);
  assert.equal(said.facts.umask, "0027");
  assert.equal(said.facts.self, rum.file);
  assert.equal(said.stderr, "");
});

Deno.test("it unpacks once, into an own 0700 folder named by its digest", async () => {
  await using rum = await packed();
  const first = await rum.run();
  assert.equal(first.code, 0, first.stderr);
  const { folder } = first.facts;
  assert.match(folder, new RegExp(`^${rum.base}/[0-9a-f]{64}$`));
  const info = await Deno.stat(folder);
  assert.deepEqual([info.mode! & 0o7777, info.uid], [0o700, rum.uid]);
  assert.equal((await Deno.stat(`${folder}/app/rum.js`)).mode! & 0o077, 0);
  const second = await rum.run();
  assert.deepEqual(second.facts, first.facts);
  assert.equal((await Deno.stat(folder)).ino, info.ino);
  await leavesNothing(rum);
});

Deno.test("it starts with no environment at all, by a relative name, from any folder", async () => {
  await using rum = await packed();
  const bare = await rum.run([], { bare: true });
  assert.equal(bare.code, 0, bare.stderr);
  assert.match(bare.facts.path, /\/usr\/bin/);
  assert.match(bare.facts.folder, new RegExp(`^/tmp/rum-${rum.uid}/bin/`));
  const relative = await rum.run([], { cwd: rum.folder, file: "./rum" });
  assert.equal(relative.code, 0, relative.stderr);
  assert.equal(relative.facts.self, `${rum.folder}/./rum`);
});

Deno.test("it does not matter what language the caller speaks, or how deep the home is", async () => {
  await using rum = await packed();
  const home = `${rum.home}/${"deep-".repeat(30)}/with a blank`;
  await Deno.mkdir(home, { recursive: true });
  await Deno.chown(home, rum.uid, rum.uid);
  const first = await rum.run([], { env: { HOME: home, LC_ALL: "C" } });
  assert.equal(first.code, 0, first.stderr);
  assert.ok(first.facts.folder.startsWith(`${home}/.cache/rum/bin/`));
  const { ino } = await Deno.stat(first.facts.folder);
  await rum.run([], { env: { HOME: home, LC_ALL: "de_DE.UTF-8", LANG: "ja_JP.UTF-8" } });
  assert.equal((await Deno.stat(first.facts.folder)).ino, ino);
});

const CHANGES: readonly {
  readonly what: string;
  readonly change: (folder: string, rum: Packed) => Promise<void>;
}[] = [
  {
    what: "a file with other bytes of the same length and the old times",
    async change(folder) {
      const path = `${folder}/deno`;
      const { mtime, atime } = await Deno.stat(path);
      const text = await Deno.readTextFile(path);
      await Deno.writeTextFile(path, text.replace("args=", "arms="));
      await Deno.utime(path, atime!, mtime!);
    },
  },
  {
    what: "a file replaced by a link",
    async change(folder) {
      await Deno.rename(`${folder}/app/rum.js`, `${folder}/elsewhere`);
      await Deno.symlink("../elsewhere", `${folder}/app/rum.js`);
    },
  },
  { what: "a file more", change: (folder) => Deno.writeTextFile(`${folder}/app/more.js`, "") },
  { what: "a file less", change: (folder) => Deno.remove(`${folder}/agent/rum.js`) },
  { what: "an open folder", change: (folder) => Deno.chmod(folder, 0o755) },
  { what: "a folder of somebody else", change: (folder) => Deno.chown(folder, 65534, 65534) },
  {
    what: "a link to a folder",
    async change(folder) {
      await Deno.rename(folder, `${folder}-real`);
      await Deno.symlink(`${folder}-real`, folder);
    },
  },
  {
    what: "a half-made folder",
    async change(folder) {
      await Deno.remove(`${folder}/.sealed`);
      await Deno.remove(`${folder}/deno`);
    },
  },
];

for (const { what, change } of CHANGES) {
  Deno.test(`it puts aside and unpacks anew: ${what}`, async () => {
    await using rum = await packed();
    const { facts: { folder } } = await rum.run();
    await change(folder, rum);
    const again = await rum.run();
    assert.equal(again.code, 0, again.stderr);
    assert.match(again.facts.args, /rum\.js/);
    const info = await Deno.lstat(folder);
    assert.deepEqual([info.isDirectory, info.mode! & 0o777, info.uid], [true, 0o700, rum.uid]);
    const third = await rum.run();
    assert.equal((await Deno.lstat(folder)).ino, info.ino, third.stderr);
  });
}

Deno.test("of ten first starts at once, one unpacks and all run", async () => {
  await using rum = await packed();
  const all = await Promise.all(Array.from({ length: 10 }, (_, i) => rum.run([`n${i}`])));
  for (const [i, said] of all.entries()) {
    assert.equal(said.code, 0, said.stderr);
    assert.match(said.facts.args, new RegExp(`n${i}$`));
  }
  await leavesNothing(rum);
});

Deno.test("kill -9 in the middle of unpacking: the next start begins anew and cleans up", async () => {
  await using rum = await packed();
  const bin = `${rum.folder}/bin`;
  await Deno.mkdir(bin);
  // Half of the files are there when the shell that unpacks is ended.
  await Deno.writeTextFile(
    `${bin}/tar`,
    `#!/bin/sh\n/usr/bin/env -i /bin/tar "$@"\nrm -r ${rum.base}/.unpack-*/rum/agent\nkill -9 $PPID\n`,
    { mode: 0o755 },
  );
  const killed = await rum.run([], { env: { PATH: `${bin}:/usr/bin:/bin` } });
  assert.equal(killed.code, 137);
  assert.equal(killed.stdout, "");
  assert.equal([...Deno.readDirSync(rum.base)].filter((e) => /^\.unpack/.test(e.name)).length, 1);
  const next = await rum.run();
  assert.equal(next.code, 0, next.stderr);
  await leavesNothing(rum);
});

/** Nothing but the lock and finished folders. */
async function leavesNothing(rum: Packed): Promise<void> {
  const names = (await Array.fromAsync(Deno.readDir(rum.base))).map((entry) => entry.name);
  assert.deepEqual(names.filter((name) => !/^[0-9a-f]{64}$/.test(name)), [".lock"]);
  assert.equal(names.length, 2);
}

Deno.test("old builds go when a new one is unpacked: not the newest three, not what runs or was started lately", async () => {
  await using rum = await packed();
  const name = (n: number) => String(n).repeat(64);
  /** A build of before, last started so many days ago. */
  const build = async (folder: string, days: number) => {
    await Deno.mkdir(`${folder}/app`, { recursive: true });
    await Deno.copyFile("/bin/sleep", `${folder}/deno`);
    await Deno.writeTextFile(`${folder}/.used`, "");
    const at = new Date(Date.now() - days * 86_400_000);
    await Deno.utime(`${folder}/.used`, at, at);
    for (const path of [folder, `${folder}/app`, `${folder}/deno`, `${folder}/.used`]) {
      await Deno.chown(path, rum.uid, rum.uid);
    }
  };
  await Deno.mkdir(rum.base, { recursive: true });
  for (const path of [`${rum.home}/.cache`, `${rum.home}/.cache/rum`, rum.base]) {
    await Deno.chown(path, rum.uid, rum.uid);
  }
  // With the new one, 1 and 2 are the newest three.
  const days: Record<number, number> = { 1: 20, 2: 30, 3: 40, 4: 50, 5: 60 };
  for (const n of [1, 2, 3, 4, 5]) await build(`${rum.base}/${name(n)}`, days[n]);
  await build(`${rum.base}/mine`, 400);
  const child = new Deno.Command("setpriv", {
    args: [
      ...[`--reuid=${rum.uid}`, `--regid=${rum.uid}`, "--clear-groups", "--"],
      ...[`${rum.base}/${name(4)}/deno`, "3600"],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    await until(
      "it runs",
      async () => (await Deno.readLink(`/proc/${child.pid}/exe`)).endsWith(`${name(4)}/deno`),
    );
    const first = await rum.run();
    assert.equal(first.code, 0, first.stderr);
    const digest = first.facts.folder.split("/").at(-1)!;
    const left = async () =>
      (await Array.fromAsync(Deno.readDir(rum.base))).map((entry) => entry.name)
        .filter((entry) => entry !== ".lock").sort();
    assert.deepEqual(await left(), [name(1), name(2), name(4), digest, "mine"].sort());

    // A start marks its build, so the next round knows that it is in use.
    const used = `${first.facts.folder}/.used`;
    await Deno.utime(used, 0, 0);
    assert.equal((await rum.run()).code, 0);
    assert.ok((await Deno.stat(used)).mtime!.getTime() > 0);
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }

  // Started lately: kept, however many there are.
  for (const n of [5, 6, 7, 8]) await build(`${rum.base}/${name(n)}`, n - 4);
  await Deno.remove((await rum.run()).facts.folder, { recursive: true });
  assert.equal((await rum.run()).code, 0);
  for (const n of [5, 6, 7, 8]) assert.ok(await Deno.stat(`${rum.base}/${name(n)}`));
  await assert.rejects(Deno.stat(`${rum.base}/${name(4)}`), Deno.errors.NotFound);
});
