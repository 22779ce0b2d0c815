/** Host folders under a guest's hands: a link in the place of the top, or of what is below it. */
import "../../support/libc_opened.ts";
import assert from "node:assert/strict";
import { FolderLook } from "../../../src/guest/folder_look.ts";
import { requireShares, SharedFolder } from "../../../src/guest/shared_folder.ts";
import type { Entry } from "../../../src/sync/tree.ts";
import { withFolder } from "../../support/folder.ts";

/** A project folder with `d` in it, beside a folder that is nobody's business. */
async function inProject(work: (source: string, secret: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const top = await Deno.realPath(folder);
    await Deno.mkdir(`${top}/project/d/sub`, { recursive: true });
    await Deno.writeTextFile(`${top}/project/d/sub/file`, "shared");
    await Deno.mkdir(`${top}/secret/sub`, { recursive: true });
    await Deno.writeTextFile(`${top}/secret/sub/file`, "secret");
    await work(`${top}/project/d`, `${top}/secret`);
  });
}

async function swap(path: string, target: string): Promise<void> {
  await Deno.rename(path, `${path}-was`);
  await Deno.symlink(target, path);
}

const named = (source: string, secret: string) => (error: unknown) => {
  const { code, message, hint } = error as { code: string; message: string; hint: string };
  assert.deepEqual([code, hint], ["untrusted_config", "rum up"]);
  assert.ok(message.startsWith(`Refusing to share ${source}: it leads to ${secret} now`), message);
  return true;
};

const look = (source: string) =>
  new FolderLook({ source, known: new Map<string, Entry>(), onOverflow: () => {} });

Deno.test("a link in the place of a shared folder: nothing is opened there, whoever looks", async () => {
  await inProject(async (source, secret) => {
    const { signal } = new AbortController();
    await using before = look(source);
    assert.deepEqual([...(await before.next(signal)).now.keys()].sort(), ["sub", "sub/file"]);
    const share = [{ source, type: "virtiofs" as const }, {
      source: "/gone",
      type: "sync" as const,
    }];
    await requireShares(share);
    await swap(source, secret);
    // The one that was watching is woken by that, and looks at the place anew.
    await assert.rejects(before.next(signal), named(source, secret));
    await using after = look(source);
    await assert.rejects(after.next(signal), named(source, secret));
    await assert.rejects(requireShares(share), named(source, secret));
    await Deno.remove(source);
    await assert.rejects(requireShares(share), { code: "no_such_file" });
  });
});

Deno.test("a link in the place of a folder above a shared one counts as well", async () => {
  await inProject(async (source, secret) => {
    await Deno.mkdir(`${secret}/d`);
    await swap(source.slice(0, -2), secret);
    assert.throws(() => SharedFolder.open(source), named(source, `${secret}/d`));
  });
});

Deno.test("below a shared folder no link is followed, however late it came, and no fifo is opened", async () => {
  await inProject(async (source, secret) => {
    using shared = SharedFolder.open(source);
    {
      using file = shared.file("sub/file")!;
      assert.equal(file.readSync(new Uint8Array(100)), "shared".length);
    }
    await Deno.rename(`${source}/sub/file`, `${source}/sub/was`);
    await Deno.symlink(`${secret}/sub/file`, `${source}/sub/file`);
    assert.equal(shared.file("sub/file"), undefined);
    await Deno.remove(`${source}/sub/file`);
    await new Deno.Command("mkfifo", { args: [`${source}/sub/file`] }).output();
    assert.equal(shared.file("sub/file"), undefined);
    // What is held is still the folder that was meant; who comes later gets no other.
    await swap(`${source}/sub`, `${secret}/sub`);
    assert.equal(shared.file("sub/file"), undefined);
    using later = SharedFolder.open(source);
    assert.equal(later.file("sub/file"), undefined);
    assert.equal(later.parentOf("sub/file"), undefined);
    assert.throws(() => later.folder("sub"), Deno.errors.NotADirectory);
  });
});

Deno.test("a folder whose top was swapped while it was open is still the one that was meant", async () => {
  await inProject(async (source, secret) => {
    const shared = SharedFolder.open(source);
    await swap(source, secret);
    {
      using file = shared.file("sub/file")!;
      const bytes = new Uint8Array(6);
      file.readSync(bytes);
      assert.equal(new TextDecoder().decode(bytes), "shared");
    }
    shared[Symbol.dispose]();
    assert.equal(shared.file("sub/file"), undefined);
  });
});
