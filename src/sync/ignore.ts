/**
 * What is not copied: `.gitignore` and `.rumignore` at every level, in git's own syntax. Pure but
 * for nothing: the texts are handed in.
 *
 * `.gitignore` counts because what it names is mostly what a build makes, and both sides build: a
 * host's node_modules or target folder over the guest's own would be a conflict every minute.
 * `.rumignore` is read after every .gitignore, so that `!.env` in it brings a file back. Nothing
 * else is left out: no list of ours, no global git configuration.
 */
import ignore from "ignore";

type Matcher = ReturnType<typeof ignore>;

export const IGNORE_FILES = [".gitignore", ".rumignore"] as const;
export type IgnoreFile = typeof IGNORE_FILES[number];

export function isIgnoreFile(path: string): boolean {
  const name = path.slice(path.lastIndexOf("/") + 1);
  return name === ".gitignore" || name === ".rumignore";
}

export class IgnoreRules {
  readonly #files = new Map<IgnoreFile, Map<string, Matcher>>(
    IGNORE_FILES.map((name) => [name, new Map()]),
  );

  /** The text of a folder's ignore file; undefined = it has none. "" is the top. */
  set(folder: string, file: IgnoreFile, text: string | undefined): void {
    const matchers = this.#files.get(file)!;
    if (text === undefined || text.trim() === "") matchers.delete(folder);
    else {
      matchers.set(
        folder,
        ignore({ ignorecase: false, allowRelativePaths: true }).add(text.replace(/^\uFEFF/, "")),
      );
    }
  }

  /** Whether this path is left out. Its parents are not: nobody asks below a folder that is. */
  ignores(path: string, isFolder: boolean): boolean {
    let ignored = false;
    for (const name of IGNORE_FILES) {
      const matchers = this.#files.get(name)!;
      if (matchers.size === 0) continue;
      // From the top down: the innermost file that says anything has the last word.
      for (let slash = -1;; slash = path.indexOf("/", slash + 1)) {
        const folder = slash < 0 ? "" : path.slice(0, slash);
        const verdict = matchers.get(folder)?.test(
          path.slice(slash + 1) + (isFolder ? "/" : ""),
        );
        if (verdict?.ignored) ignored = true;
        else if (verdict?.unignored) ignored = false;
        if (path.indexOf("/", slash + 1) < 0) break;
      }
    }
    return ignored;
  }
}
