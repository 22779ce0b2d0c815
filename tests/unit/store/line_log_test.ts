import assert from "node:assert/strict";
import { logFiles, openLineLog } from "../../../src/store/line_log.ts";
import { followLog, parseLogLine, tailLog } from "../../../src/store/log_reader.ts";

const AT = new Date("2026-11-21T10:00:00.000Z");

async function inFolder(work: (path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  await Deno.chmod(folder, 0o700);
  try {
    await work(`${folder}/script-system.log`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("line log: every line in order, stderr told apart", () =>
  inFolder(async (path) => {
    const log = openLineLog(path);
    log.line(AT, "out", "one");
    log.line(AT, "err", "two | three");
    await log.close();
    assert.deepEqual(await tailLog(path), [
      { at: AT.toISOString(), stream: "out", text: "one" },
      { at: AT.toISOString(), stream: "err", text: "two | three" },
    ]);
  }));

Deno.test("line log: 20,000 lines over several files come back in order, the oldest files dropped", () =>
  inFolder(async (path) => {
    const log = openLineLog(path, { maxBytes: 200_000, keep: 4 });
    for (let i = 0; i < 20_000; i++) {
      log.line(AT, "out", `line ${i}`);
      await log.ready();
    }
    await log.close();
    const files = await logFiles(path);
    assert.equal(files.length, 4);
    for (const file of files) assert.ok((await Deno.stat(file)).size <= 200_000, file);
    const numbers = (await tailLog(path)).map((line) => Number(line.text.slice(5)));
    assert.equal(numbers.at(-1), 19_999);
    numbers.forEach((n, i) => assert.equal(n, numbers[0] + i));
    assert.deepEqual((await tailLog(path, { lines: 2 })).map((l) => l.text), [
      "line 19998",
      "line 19999",
    ]);
  }));

Deno.test("line log: --since cuts by time", () =>
  inFolder(async (path) => {
    const log = openLineLog(path);
    for (let i = 0; i < 10; i++) log.line(new Date(AT.getTime() + i * 1000), "out", String(i));
    await log.close();
    const since = new Date(AT.getTime() + 7000);
    assert.deepEqual((await tailLog(path, { since })).map((l) => l.text), ["7", "8", "9"]);
  }));

Deno.test("line log: a follower sees each line once, across a rotation", () =>
  inFolder(async (path) => {
    const log = openLineLog(path, { maxBytes: 70_000, keep: 3 });
    log.line(AT, "out", "before");
    await log.ready();
    const stop = new AbortController();
    const seen: string[] = [];
    const following = (async () => {
      for await (const line of followLog(path, { signal: stop.signal, pollMs: 5 })) {
        seen.push(line.text);
        if (line.text === "last") stop.abort();
      }
    })();
    // Until it is at it.
    while (!seen.includes("before")) {
      log.line(AT, "out", "before");
      await new Promise((resolve) => setTimeout(resolve, 12));
    }
    for (let i = 0; i < 1500; i++) {
      log.line(AT, "out", `line ${i}`);
      if (i % 100 === 0) await new Promise((resolve) => setTimeout(resolve, 12));
    }
    log.line(AT, "out", "last");
    await following;
    await log.close();
    const wanted = [...Array.from({ length: 1500 }, (_, i) => `line ${i}`), "last"];
    assert.deepEqual(seen.filter((text) => text !== "before"), wanted);
  }));

Deno.test("line log: a line that is not in our form is shown whole", () => {
  assert.deepEqual(parseLogLine("plain text"), { stream: "out", text: "plain text" });
  assert.deepEqual(parseLogLine("2026-11-21T10:00:00.000Z daemon started"), {
    at: "2026-11-21T10:00:00.000Z",
    stream: "out",
    text: "daemon started",
  });
});

Deno.test("line log: a symlink in its place is not followed", () =>
  inFolder(async (path) => {
    await Deno.writeTextFile(`${path}.target`, "mine\n");
    await Deno.symlink(`${path}.target`, path);
    const log = openLineLog(path);
    log.line(AT, "out", "x");
    await log.close();
    assert.equal(await Deno.readTextFile(`${path}.target`), "mine\n");
  }));

const mount = (...args: string[]) => new Deno.Command(args[0], { args: args.slice(1) }).output();

Deno.test({
  name: "line log: what a full disk tore is a line of its own, and so is the notice about it",
  // Only root may mount a small disk.
  ignore: Deno.uid() !== 0,
  fn: () =>
    inFolder(async (path) => {
      const folder = path.slice(0, path.lastIndexOf("/"));
      const mounted = await mount(
        ...["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", folder],
      );
      if (!mounted.success) return;
      try {
        const log = openLineLog(path);
        const write = async (text: string) => {
          log.line(AT, "out", text);
          await log.flush();
        };
        await write("first");
        await Deno.writeFile(`${folder}/fill`, new Uint8Array(56 * 1024));
        await write("b".repeat(9000));
        await write("c".repeat(9000));
        await Deno.remove(`${folder}/fill`);
        await write("after");
        await log.close();
        const [first, torn, notice, after, ...more] = await tailLog(path);
        assert.equal(first.text, "first");
        assert.match(torn.text, /^b+$/);
        assert.deepEqual([notice.stream, notice.text], [
          "err",
          "[2 lines could not be written to this log]",
        ]);
        assert.deepEqual([after.text, more], ["after", []]);
      } finally {
        await mount("umount", folder);
      }
    }),
});
