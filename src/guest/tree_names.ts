/**
 * A tree from a hostile guest, name by name. What is written on the host stays below its top: no
 * absolute name, no `..`, no name that passes through a link or a file, nothing twice; links only to
 * places inside the tree; devices, sockets and pipes never.
 */
import { printableLine } from "../base/printable.ts";
import { RumError } from "../base/errors.ts";
import type { TreeEntry } from "../protocol/agent.ts";

export interface TreeBounds {
  readonly maxEntries: number;
  readonly maxBytes: number;
}

export const DEFAULT_BOUNDS: TreeBounds = { maxEntries: 1_000_000, maxBytes: 2 ** 40 };

/** Watches one tree go by. */
export class TreeGuard {
  readonly #bounds: TreeBounds;
  readonly #folders = new Set<string>();
  readonly #seen = new Set<string>();
  #bytes = 0;

  constructor(bounds: TreeBounds = DEFAULT_BOUNDS) {
    this.#bounds = bounds;
  }

  /**
   * Undefined: take it. A sentence: leave this entry out, the tree goes on.
   *
   * @throws {RumError} `agent_lied` for what no honest agent sends, `too_large` past a bound
   */
  admit(entry: TreeEntry): string | undefined {
    const { path, meta } = entry;
    const shown = printableLine(path, 200);
    if (this.#seen.size >= this.#bounds.maxEntries) {
      throw new RumError(
        "too_large",
        `The guest's tree has more than ${this.#bounds.maxEntries} entries`,
      );
    }
    if (this.#seen.has(path)) throw lied(shown, "came twice");
    if (path === "" ? this.#seen.size > 0 : !isPlain(path)) throw lied(shown, "is no plain path");
    if (path !== "" && !this.#folders.has(parentOf(path))) {
      throw lied(shown, "came without its folder");
    }
    this.#seen.add(path);
    switch (meta.type) {
      case "folder":
        this.#folders.add(path);
        return undefined;
      case "file":
        return undefined;
      case "link":
        return staysInside(path, meta.target ?? "")
          ? undefined
          : `"${shown}" is a link that leads out of the tree`;
      case "other":
        return `"${shown}" is a device, socket or pipe`;
    }
  }

  /** @throws {RumError} `too_large` */
  count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#bounds.maxBytes) {
      throw new RumError(
        "too_large",
        `The guest sent more than ${this.#bounds.maxBytes} bytes, the most that was allowed`,
      );
    }
  }
}

function isPlain(path: string): boolean {
  return path.length <= 4096 && !path.includes("\0") &&
    path.split("/").every((part) =>
      part !== "" && part !== "." && part !== ".." && part.length <= 255
    );
}

function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

/**
 * The link's target never climbs above the top. `..` only at its beginning: after a name it would
 * climb from wherever that name, perhaps a link itself, really leads.
 */
export function staysInside(path: string, target: string): boolean {
  if (target === "" || target.startsWith("/") || target.includes("\0")) return false;
  let depth = path.split("/").length - 1;
  let named = false;
  for (const part of target.split("/")) {
    if (part === "..") {
      if (named || --depth < 0) return false;
    } else if (part !== "" && part !== ".") named = true;
  }
  return true;
}

function lied(path: string, what: string): RumError {
  return new RumError("agent_lied", `The guest's tree is not to be trusted: "${path}" ${what}`);
}
