/** A `sync` folder with a real agent: both sides equal after whatever happened on the host. */
import assert from "node:assert/strict";
import { installPackages, switchBranches } from "../support/folder_work.ts";
import { folderBed, until, watchGuest } from "../support/folder_bed.ts";

const FULL = Deno.env.get("FULL") === "1";

Deno.test("a sync folder: create, change, append, rename, delete, mode, link, odd names", async () => {
  await using bed = await folderBed();
  const { host } = bed;
  Deno.mkdirSync(`${host}/before/deep/er`, { recursive: true });
  Deno.writeTextFileSync(`${host}/before/deep/er/file`, "there already\n");
  await bed.attach();
  await bed.equal();

  Deno.writeTextFileSync(`${host}/a`, "one");
  Deno.mkdirSync(`${host}/new/inner`, { recursive: true });
  Deno.writeTextFileSync(`${host}/new/inner/b c`, "two");
  Deno.writeTextFileSync(`${host}/new/line\nfeed`, "three");
  Deno.writeTextFileSync(`${host}/empty`, "");
  Deno.symlinkSync("inner/b c", `${host}/new/link`);
  Deno.symlinkSync("/etc", `${host}/outside`);
  Deno.writeFileSync(`${host}/large`, new Uint8Array(3_000_000).fill(7));
  await bed.equal();

  Deno.writeTextFileSync(`${host}/a`, "and more", { append: true });
  Deno.chmodSync(`${host}/a`, 0o755);
  Deno.chmodSync(`${host}/new`, 0o700);
  await bed.equal();

  Deno.renameSync(`${host}/new`, `${host}/renamed`);
  Deno.renameSync(`${host}/a`, `${host}/renamed/a`);
  Deno.removeSync(`${host}/outside`);
  Deno.writeTextFileSync(`${host}/outside`, "a file where a link was");
  Deno.removeSync(`${host}/before`, { recursive: true });
  await bed.equal();

  Deno.removeSync(`${host}/renamed`, { recursive: true });
  Deno.writeTextFileSync(`${host}/renamed`, "a file where a folder was");
  Deno.writeFileSync(`${host}/large`, new Uint8Array(10));
  await bed.equal();
  assert.deepEqual(bed.warnings, []);
  await until(() => bed.sync.status.state === "in_sync", () => JSON.stringify(bed.sync.status));
});

Deno.test("a sync folder: a watcher in the guest sees the very events of the host", async () => {
  await using bed = await folderBed();
  const { host, guest } = bed;
  Deno.writeTextFileSync(`${host}/kept`, "1");
  Deno.writeTextFileSync(`${host}/old name`, "1");
  Deno.writeTextFileSync(`${host}/saved`, "1");
  await bed.attach();
  await using watch = await watchGuest(guest);
  const saw = (line: RegExp) =>
    until(() => watch.lines.some((each) => line.test(each)), () => watch.lines.join("; "));

  Deno.writeTextFileSync(`${host}/made`, "1");
  await saw(/^made CREATE$/);
  Deno.writeTextFileSync(`${host}/kept`, "2 and more");
  await saw(/^kept MODIFY$/);
  await saw(/^kept CLOSE_WRITE/);
  Deno.renameSync(`${host}/old name`, `${host}/new name`);
  await saw(/^old name MOVED_FROM$/);
  await saw(/^new name MOVED_TO$/);
  Deno.removeSync(`${host}/made`);
  await saw(/^made DELETE$/);
  Deno.mkdirSync(`${host}/folder/inner`, { recursive: true });
  await saw(/^folder CREATE,ISDIR$/);
  // An editor's save: written beside, renamed over it.
  Deno.writeTextFileSync(`${host}/.saved.swp`, "2");
  Deno.renameSync(`${host}/.saved.swp`, `${host}/saved`);
  await saw(/^saved MOVED_TO$/);
  await bed.equal();
  Deno.removeSync(`${host}/folder`, { recursive: true });
  await saw(/^folder DELETE,ISDIR$/);
});

Deno.test("a sync folder: nothing comes back to the host", async () => {
  await using bed = await folderBed();
  const { host, guest } = bed;
  Deno.writeTextFileSync(`${host}/one`, "1");
  await bed.attach();
  await using watch = await watchGuest(host);
  Deno.writeTextFileSync(`${guest}/made in the guest`, "guest");
  Deno.writeTextFileSync(`${host}/two`, "2");
  await bed.equal({ ignored: (path) => path === "made in the guest" });
  assert.deepEqual(await watch.changes(), [
    "two CREATE",
    "two MODIFY",
    "two CLOSE_WRITE,CLOSE",
  ]);
});

Deno.test("a sync folder: ignore files are honoured, also when they change", async () => {
  await using bed = await folderBed();
  const { host, guest } = bed;
  Deno.writeTextFileSync(`${host}/.gitignore`, "node_modules/\n*.log\n.env\n");
  Deno.writeTextFileSync(`${host}/.rumignore`, "!.env\n/private\n");
  for (const folder of ["node_modules/x", "private", "src"]) {
    Deno.mkdirSync(`${host}/${folder}`, { recursive: true });
  }
  for (const path of ["node_modules/x/y", "private/key", "src/a.log", "src/a", ".env"]) {
    Deno.writeTextFileSync(`${host}/${path}`, path);
  }
  const has = (path: string) => {
    try {
      return Deno.lstatSync(`${guest}/${path}`) !== undefined;
    } catch {
      return false;
    }
  };
  await bed.attach();
  assert.deepEqual(
    ["node_modules", "private", "src/a.log", "src/a", ".env", ".gitignore"].filter(has),
    ["src/a", ".env", ".gitignore"],
  );
  Deno.writeTextFileSync(`${host}/node_modules/x/z`, "ignored");
  Deno.writeTextFileSync(`${host}/.gitignore`, "*.log\n.env\nsrc/a\n");
  await until(() => has("node_modules/x/z"));
  // Ignored from now on: the guest's copy stays, and is the guest's.
  assert.ok(has("src/a"));
  Deno.writeTextFileSync(`${host}/src/a`, "changed and ignored");
  Deno.writeTextFileSync(`${host}/src/b`, "b");
  await until(() => has("src/b"));
  assert.equal(Deno.readTextFileSync(`${guest}/src/a`), "src/a");
});

Deno.test("a sync folder: what both sides changed is reported and never overwritten", async () => {
  await using bed = await folderBed();
  const { host, guest, sync } = bed;
  for (const name of ["both", "guest only", "removed"]) {
    Deno.writeTextFileSync(`${host}/${name}`, "same");
  }
  await bed.attach();
  for (const name of ["both", "guest only", "removed"]) {
    Deno.writeTextFileSync(`${guest}/${name}`, `the guest's ${name}`);
  }
  Deno.writeTextFileSync(`${guest}/new on both`, "the guest's");
  Deno.writeTextFileSync(`${host}/both`, "the host's");
  Deno.writeTextFileSync(`${host}/new on both`, "the host's");
  Deno.removeSync(`${host}/removed`);
  await until(
    () => sync.conflicts.length === 3 && sync.status.state === "degraded",
    () => JSON.stringify(sync.status),
  );
  assert.deepEqual([...sync.conflicts].sort(), ["both", "new on both", "removed"]);
  assert.equal(bed.warnings.length, 3);
  for (const name of ["both", "guest only", "removed"]) {
    assert.equal(Deno.readTextFileSync(`${guest}/${name}`), `the guest's ${name}`);
  }
  assert.equal(Deno.readTextFileSync(`${guest}/new on both`), "the guest's");

  // The way back, as `rum cp` does it: now both are the same, and nothing is in the way any more.
  for (const name of ["both", "new on both", "guest only", "removed"]) {
    Deno.copyFileSync(`${guest}/${name}`, `${host}/${name}`);
  }
  await until(() => sync.status.state === "in_sync", () => JSON.stringify(sync.status));
  await bed.equal();
  Deno.writeTextFileSync(`${host}/both`, "the host's again");
  await bed.equal();
});

Deno.test("a sync folder: what changed while nobody was there arrives, and only that", async () => {
  await using bed = await folderBed();
  const { host, guest, agent } = bed;
  for (let i = 0; i < 50; i++) Deno.writeTextFileSync(`${host}/f${i}`, `${i}`);
  await bed.attach();
  await bed.equal();
  await bed.sync.detach();
  Deno.writeTextFileSync(`${host}/f1`, "changed");
  Deno.removeSync(`${host}/f2`);
  Deno.renameSync(`${host}/f3`, `${host}/g3`);
  {
    await using watch = await watchGuest(guest);
    await bed.again();
    await bed.equal();
    const touched = new Set((await watch.changes()).map((line) => line.split(" ")[0]));
    assert.deepEqual([...touched].sort(), ["f1", "f2", "f3", "g3"]);
  }
  // The agent dies in mid-copy, as when the guest reboots.
  for (let i = 0; i < 200; i++) {
    Deno.writeFileSync(`${host}/n${i}`, new Uint8Array(50_000).fill(i));
  }
  await agent.kill();
  for (let i = 0; i < 200; i++) Deno.writeTextFileSync(`${host}/m${i}`, `${i}`);
  Deno.writeTextFileSync(`${host}/f1`, "again");
  agent.start();
  await until(() => agent.session.client === undefined);
  await bed.attach();
  await bed.equal();
  assert.deepEqual(bed.warnings, []);
});

/** What may be said during a burst, and nothing else. */
const OVERFLOW = /changed faster than it could be watched/;

Deno.test("a sync folder: a link in its place hands nothing over, and the folder's row says why", async () => {
  await using bed = await folderBed();
  const { host, guest } = bed;
  const secret = `${host}-secret`;
  Deno.mkdirSync(secret);
  Deno.writeTextFileSync(`${secret}/id_ed25519`, "secret");
  Deno.writeTextFileSync(`${host}/shared`, "1");
  await bed.attach();
  await bed.equal();
  // What the guest can do where the folder around this one is mounted for writing.
  Deno.renameSync(host, `${host}-was`);
  Deno.symlinkSync(secret, host);
  await until(() => bed.sync.status.state === "degraded", () => JSON.stringify(bed.sync.status));
  assert.match(bed.sync.status.why[0], /^Refusing to share \S+: it leads to \S+-secret now/);
  await assert.rejects(bed.again(), { code: "untrusted_config" });
  assert.deepEqual([...Deno.readDirSync(guest)].map(({ name }) => name), ["shared"]);
});

Deno.test("a sync folder: thousands of files at once", async () => {
  const count = FULL ? 10_000 : 1_000;
  await using bed = await folderBed();
  const { host } = bed;
  await bed.attach();
  for (let i = 0; i < count; i++) {
    const folder = `${host}/all/d${i % 40}`;
    if (i < 40) Deno.mkdirSync(folder, { recursive: true });
    Deno.writeTextFileSync(`${folder}/file ${i}.txt`, `${i}\n`.repeat(i % 50));
  }
  await bed.equal();
  await Deno.remove(`${host}/all`, { recursive: true });
  await bed.equal();
  assert.deepEqual(bed.warnings.filter((line) => !OVERFLOW.test(line)), []);
});

Deno.test("a sync folder: branches switched under it", async () => {
  await using bed = await folderBed();
  await bed.attach();
  await switchBranches({ host: bed.host, files: FULL ? 2_000 : 200, equal: () => bed.equal() });
  assert.deepEqual(bed.warnings.filter((line) => !OVERFLOW.test(line)), []);
});

Deno.test("a sync folder: packages installed, upgraded and removed as npm does it", async () => {
  await using bed = await folderBed();
  await bed.attach();
  await installPackages({ host: bed.host, packages: FULL ? 600 : 60, equal: () => bed.equal() });
  assert.deepEqual(bed.warnings.filter((line) => !OVERFLOW.test(line)), []);
});
