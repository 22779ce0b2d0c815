/** Files that must survive a power cut whole: temporary, fsync, rename, fsync of the folder. */
export async function writeDurably(
  path: string,
  content: string | Uint8Array,
  options: { mode?: number } = {},
): Promise<void> {
  const folder = path.slice(0, path.lastIndexOf("/")) || "/";
  const temporary = `${path}.new-${crypto.randomUUID().slice(0, 8)}`;
  try {
    {
      using file = await Deno.open(temporary, {
        write: true,
        createNew: true,
        mode: options.mode ?? 0o600,
      });
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.sync();
    }
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
  await syncFolder(folder);
}

export async function syncFolder(folder: string): Promise<void> {
  using handle = await Deno.open(folder);
  await handle.sync();
}

/** Undefined when it is not there or not JSON: a torn or foreign file counts as none. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await Deno.readTextFile(path));
  } catch {
    return undefined;
  }
}
