/**
 * A host folder that rum.toml gives to the guest, and what to open in it without being led elsewhere.
 *
 * Its place was made canonical and approved when the plan was made. A folder inside the project needs
 * no approval, and a guest that has the project too can put a link in its place, or in the place of
 * any folder below it. So the top is opened by its path and must be found at that very path, and from
 * there it goes down by open folders, one name at a time, no link followed: what is looked at and
 * what is read is in the folder that was meant, whatever becomes of its names meanwhile.
 */
import { Folder, FolderWalk, type Held } from "../../ffi/folders.ts";
import { RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import type { PlannedMount } from "../plan/types.ts";

export class SharedFolder implements Disposable {
  readonly source: string;
  readonly #walk: FolderWalk;
  #closed = false;

  private constructor(source: string, top: Folder) {
    this.source = source;
    this.#walk = new FolderWalk(top);
  }

  /** @throws {RumError} `no_such_file`; `untrusted_config` when a link leads there by now */
  static open(source: string): SharedFolder {
    let top: Folder;
    try {
      top = Folder.open(source);
    } catch (cause) {
      throw unopened(source, cause);
    }
    // What was opened, as the kernel calls it: nobody can change that between two looks.
    const found = Deno.readLinkSync(top.path);
    if (found === source) return new SharedFolder(source, top);
    top[Symbol.dispose]();
    throw elsewhere(source, found);
  }

  /**
   * The folder at this path ("" is the top), valid until the next call.
   *
   * @throws {Deno.errors.NotFound | Deno.errors.NotADirectory | Deno.errors.PermissionDenied}
   */
  folder(path: string): Folder {
    return path === "" ? this.#walk.top : this.#walk.at(path.split("/"));
  }

  /** Undefined when there is no such folder, or it may not be read. */
  parentOf(path: string): { readonly folder: Folder; readonly name: string } | undefined {
    try {
      return this.#walk.place(path);
    } catch (error) {
      if (isGone(error) || error instanceof Deno.errors.PermissionDenied) return undefined;
      throw error;
    }
  }

  /**
   * A regular file for reading; undefined when there is something else by now, or nothing, or when
   * all this is over: whoever is still sending then must not read by a number that is somebody else's.
   */
  file(path: string): Deno.FsFile | undefined {
    if (this.#closed) return undefined;
    try {
      const { folder, name } = this.#walk.place(path);
      using held = heldRegular(folder, name);
      return held === undefined ? undefined : Deno.openSync(held.path);
    } catch (error) {
      if (isGone(error)) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#walk[Symbol.dispose]();
  }
}

/**
 * A regular file, held before it is opened: a link is not followed, and a fifo does not keep us
 * waiting.
 */
export function heldRegular(folder: Folder, name: string): Held | undefined {
  const held = folder.held(name);
  if (Deno.statSync(held.path).isFile) return held;
  held[Symbol.dispose]();
  return undefined;
}

export function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}

/**
 * The same question for what virtiofsd and QEMU open, by its path and a moment later. A copy asks by
 * itself, each time that it looks.
 *
 * @throws {RumError} `no_such_file`; `untrusted_config` when a link leads there by now
 */
export async function requireShares(
  mounts: readonly Pick<PlannedMount, "source" | "type">[],
): Promise<void> {
  for (const { source, type } of mounts) if (type !== "sync") await requireSameFolder(source);
}

async function requireSameFolder(source: string): Promise<void> {
  let found: string;
  try {
    found = await Deno.realPath(source);
  } catch (cause) {
    throw unopened(source, cause);
  }
  if (found !== source) throw elsewhere(source, found);
}

function unopened(source: string, cause: unknown): unknown {
  if (!isGone(cause)) return cause;
  return new RumError("no_such_file", `The shared folder ${printableLine(source)} is not there`, {
    hint: "rum config check",
    cause,
  });
}

function elsewhere(source: string, found: string): RumError {
  return new RumError(
    "untrusted_config",
    `Refusing to share ${printableLine(source)}: it leads to ${printableLine(found)} now, and ` +
      "that is not the folder that rum.toml named when the machine was last set up",
    { hint: "rum up", data: { source, found } },
  );
}
