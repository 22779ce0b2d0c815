/**
 * The one place where the configuration touches the disk: a ConfigReader over Deno, bounded and
 * without ever opening anything but a regular file (a fifo named rum.toml would hang `rum status`).
 */
import * as posix from "../base/posix_path.ts";
import type { ConfigReader } from "./host_files.ts";

export function diskReader(home: string): ConfigReader {
  return { home, kind, canonical, link, read };
}

async function kind(path: string): Promise<"file" | "folder" | "other" | undefined> {
  try {
    const info = await Deno.stat(path);
    return info.isFile ? "file" : info.isDirectory ? "folder" : "other";
  } catch {
    return undefined;
  }
}

/** Links resolved as far down as the path exists; a dangling link ends at the link itself. */
async function canonical(path: string): Promise<string> {
  const rest: string[] = [];
  let at = posix.resolve("/", path);
  while (true) {
    try {
      return posix.join(await Deno.realPath(at), ...rest);
    } catch (thrown) {
      if (
        !(thrown instanceof Deno.errors.NotFound || thrown instanceof Deno.errors.NotADirectory)
      ) {
        throw new Error(plain(thrown), { cause: thrown });
      }
      const target = await Deno.readLink(at).catch(() => undefined);
      if (target !== undefined) {
        throw new Error(`${at} is a link to ${target}, which does not exist`, { cause: thrown });
      }
      if (at === "/") return path;
      rest.unshift(posix.basename(at));
      at = posix.dirname(at);
    }
  }
}

async function link(path: string): Promise<string | undefined> {
  return await Deno.readLink(path).catch(() => undefined);
}

async function read(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    const info = await Deno.stat(path);
    if (!info.isFile) throw new Error("it is not a regular file");
    using file = await Deno.open(path);
    const wanted = Math.min(info.size, maxBytes) + 1;
    const bytes = new Uint8Array(wanted);
    let length = 0;
    while (length < wanted) {
      const n = await file.read(bytes.subarray(length));
      if (n === null) break;
      length += n;
    }
    return bytes.subarray(0, length);
  } catch (thrown) {
    throw new Error(plain(thrown), { cause: thrown });
  }
}

/** Deno's sentence without its tail (`: stat '/x'`), which repeats the path. */
function plain(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.replace(/ \(os error \d+\).*$/, "");
}
