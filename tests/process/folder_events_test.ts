/**
 * Host changes told to watchers on a shared file system. One folder stands for both sides here, as
 * it does with virtiofs: what the agent does to raise an event is seen by the host's watcher too,
 * and must not come round again. The real share is in tests/e2e/mounts_test.ts.
 */
import assert from "node:assert/strict";
import { FolderEvents } from "../../src/guest/folder_events.ts";
import { agentProcess } from "../support/agent_process.ts";
import { folderBed, until, watchGuest } from "../support/folder_bed.ts";

Deno.test("inotify on a share: each change is told once, and the telling changes nothing", async () => {
  await using agent = await agentProcess();
  const shared = `${agent.folder}/shared`;
  await Deno.mkdir(`${shared}/sub`, { recursive: true });
  Deno.writeTextFileSync(`${shared}/changed`, "1");
  Deno.writeTextFileSync(`${shared}/sub/gone`, "1");
  Deno.writeTextFileSync(`${shared}/.rumignore`, "*.tmp\n");
  const warnings: string[] = [];
  await using events = new FolderEvents({
    source: shared,
    target: shared,
    warn: (text) => warnings.push(text),
    note: () => {},
  });
  await events.attach(await agent.session.ready({ timeoutMs: 30_000 }));
  await using watch = await watchGuest(shared);
  const count = (path: string, event: string) =>
    watch.lines.filter((line) => {
      const at = line.lastIndexOf(" ");
      return line.slice(0, at) === path && line.slice(at + 1).split(",").includes(event);
    }).length;
  const seen = () => watch.lines.join("; ");

  // Two MODIFY each: the host's own write, which a guest would not see, and the one that was raised.
  Deno.writeTextFileSync(`${shared}/changed`, "2", { append: true });
  await until(() => count("changed", "MODIFY") === 2, seen);
  Deno.writeTextFileSync(`${shared}/made`, "1");
  await until(() => count("made", "MODIFY") === 2, seen);
  Deno.mkdirSync(`${shared}/new/inner`, { recursive: true });
  Deno.writeTextFileSync(`${shared}/new/inner/file`, "1");
  await until(() => count("new", "MODIFY") > 0, seen);
  Deno.renameSync(`${shared}/made`, `${shared}/renamed`);
  await until(() => count("renamed", "MODIFY") === 1, seen);
  Deno.removeSync(`${shared}/sub/gone`);
  await until(() => count("sub", "MODIFY") > 0, seen);
  Deno.writeTextFileSync(`${shared}/ignored.tmp`, "1");
  const before = Deno.statSync(`${shared}/changed`);
  Deno.writeTextFileSync(`${shared}/last`, "1");
  await until(() => count("last", "MODIFY") === 2, seen);
  assert.equal(count("changed", "MODIFY"), 2);
  assert.equal(count("made", "MODIFY"), 2);
  assert.equal(count("renamed", "MODIFY"), 1);
  assert.equal(count("ignored.tmp", "MODIFY"), 1);
  assert.deepEqual(Deno.statSync(`${shared}/changed`).mtime, before.mtime);
  assert.deepEqual([...Deno.readDirSync(shared)].map((e) => e.name).sort(), [
    ".rumignore",
    "changed",
    "ignored.tmp",
    "last",
    "new",
    "renamed",
    "sub",
  ]);
  assert.deepEqual(warnings, []);
});

Deno.test("a watcher that lost events says so, looks at everything, and says when it caught up", async () => {
  await using bed = await folderBed();
  const { host, notes, warnings } = bed;
  Deno.writeTextFileSync(`${host}/a`, "1");
  Deno.writeTextFileSync(`${host}/b`, "1");
  await bed.attach();
  const queue = Number(Deno.readTextFileSync("/proc/sys/fs/inotify/max_queued_events"));
  // Nobody reads while this runs, and alternating events are not merged.
  for (let i = 0; i <= queue; i++) Deno.chmodSync(`${host}/${i % 2 === 0 ? "a" : "b"}`, 0o640);
  Deno.writeTextFileSync(`${host}/unheard of`, "1");
  await bed.equal();
  await until(() => notes.length === 1);
  assert.match(warnings[0], /changed faster than it could be watched/);
  assert.match(notes[0], /in sync again/);
});
