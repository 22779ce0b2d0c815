import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { removeLeftoverTemps, writeFileAtomic } from "../../../src/store/atomic.ts";
import { withFolder } from "../../support/folder.ts";

const names = (folder: string) => [...Deno.readDirSync(folder)].map((e) => e.name).sort();

Deno.test("writeFileAtomic: the bytes arrive, the mode is as asked, nothing is left beside", async () => {
  await withFolder(async (folder) => {
    await writeFileAtomic(`${folder}/a`, "one");
    await writeFileAtomic(`${folder}/a`, new Uint8Array([1, 2, 3]), { mode: 0o640 });
    assert.deepEqual(Deno.readFileSync(`${folder}/a`), new Uint8Array([1, 2, 3]));
    assert.equal((Deno.statSync(`${folder}/a`).mode ?? 0) & 0o777, 0o640);
    assert.deepEqual(names(folder), ["a"]);
  });
});

Deno.test("writeFileAtomic: a planted link is neither followed nor replaced", async () => {
  await withFolder(async (folder) => {
    Deno.writeTextFileSync(`${folder}/victim`, "mine");
    Deno.symlinkSync(`${folder}/victim`, `${folder}/a`);
    await assert.rejects(
      writeFileAtomic(`${folder}/a`, "x"),
      (e: RumError) => e.code === "state_invalid" && e.message.includes("symbolic link"),
    );
    assert.equal(Deno.readTextFileSync(`${folder}/victim`), "mine");
    assert.ok(Deno.lstatSync(`${folder}/a`).isSymlink);
    assert.deepEqual(names(folder), ["a", "victim"]);
  });
});

Deno.test("writeFileAtomic: an aborted write leaves the old bytes and no temporary file", async () => {
  await withFolder(async (folder) => {
    await writeFileAtomic(`${folder}/a`, "old");
    const reason = new Error("enough");
    await assert.rejects(
      writeFileAtomic(`${folder}/a`, "new", { signal: AbortSignal.abort(reason) }),
      reason,
    );
    assert.equal(Deno.readTextFileSync(`${folder}/a`), "old");
    assert.deepEqual(names(folder), ["a"]);
  });
});

Deno.test(
  "writeFileAtomic: a full disk is disk_full, the old bytes stay, the temporary file goes",
  {
    ignore: Deno.uid() !== 0,
  },
  async () => {
    await withFolder(async (folder) => {
      const mounted = await new Deno.Command("mount", {
        args: ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
      }).output();
      if (!mounted.success) return console.warn("no tmpfs can be mounted here; not checked");
      try {
        await writeFileAtomic(`${folder}/a`, "old");
        await assert.rejects(
          writeFileAtomic(`${folder}/a`, new Uint8Array(1 << 20)),
          (e: RumError) => e.code === "disk_full" && e.hint === "df -h",
        );
        assert.equal(Deno.readTextFileSync(`${folder}/a`), "old");
        assert.deepEqual(names(folder), ["a"]);
      } finally {
        await new Deno.Command("umount", { args: [folder] }).output();
      }
    });
  },
);

Deno.test("removeLeftoverTemps: takes what dead writers left and nothing else", async () => {
  await withFolder(async (folder) => {
    const dead = `.state.json.4194303-0123abcd.tmp`;
    for (const name of [dead, `.state.json.${Deno.pid}-0123abcd.tmp`, ".other", "state.json"]) {
      Deno.writeTextFileSync(`${folder}/${name}`, "");
    }
    assert.deepEqual(await removeLeftoverTemps(folder), [dead]);
    assert.equal(names(folder).length, 3);
  });
});
