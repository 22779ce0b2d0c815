/**
 * Paths below a folder's top and what is there now, compared with what the host last wrote. Links
 * are never followed: an operation whose parent turned into a link, or left, is refused, because
 * the agent is root and whoever may write into the folder is not.
 */
import type { FolderEntry } from "../src/protocol/folders.ts";
import { RumError } from "../src/base/errors.ts";

export interface Place {
  readonly full: string;
  readonly now: Deno.FileInfo | undefined;
}

export class Places {
  readonly #top: string;
  /** Parents that were found to be folders, for the length of one batch. */
  readonly #checked = new Set<string>([""]);

  constructor(top: string) {
    this.#top = top;
  }

  /** @throws {RumError} `protocol_error` for a path that leads out of the folder */
  at(path: string): Place {
    if (path.split("/").some((part) => part === "" || part === "." || part === "..")) {
      throw new RumError("protocol_error", `The path "${path}" leads out of its folder`);
    }
    const slash = path.lastIndexOf("/");
    if (slash > 0) this.#parent(path.slice(0, slash));
    const full = `${this.#top}/${path}`;
    return { full, now: lstat(full) };
  }

  /** A folder was removed or renamed: nothing below it is known any more. */
  forget(): void {
    this.#checked.clear();
    this.#checked.add("");
  }

  #parent(path: string): void {
    if (this.#checked.has(path)) return;
    const slash = path.lastIndexOf("/");
    if (slash > 0) this.#parent(path.slice(0, slash));
    const info = lstat(`${this.#top}/${path}`);
    if (info === undefined) throw new Refused("failed", `its folder "${path}" is not there`);
    if (!info.isDirectory) {
      throw new Refused("conflict", `"${path}" is no folder in the guest`);
    }
    this.#checked.add(path);
  }
}

/** One operation that was not carried out; the others go on. */
export class Refused extends Error {
  readonly how: "conflict" | "differs" | "failed";

  constructor(how: Refused["how"], why: string) {
    super(why);
    this.how = how;
  }
}

/** Whether what is there is what the host last wrote. Mode is the guest's to change. */
export function untouched(
  now: Deno.FileInfo,
  full: string,
  base: FolderEntry | undefined,
): boolean {
  if (base === undefined) return false;
  switch (base.type) {
    case "folder":
      return now.isDirectory;
    case "link":
      return now.isSymlink && Deno.readLinkSync(full) === base.to;
    case "file":
      return now.isFile && now.size === base.size && mtimeOf(now) === base.mtimeMs;
  }
}

export function mtimeOf(info: Deno.FileInfo): number {
  return info.mtime?.getTime() ?? 0;
}

export function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return undefined;
    }
    throw error;
  }
}
