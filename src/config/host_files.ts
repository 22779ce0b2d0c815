/**
 * The files and folders on the host that rum.toml names, through an injected reader: scripts become
 * text, paths become canonical. Links are resolved here because "inside the project folder" decides
 * what needs approval (trust.ts), and a guest that can write the project can plant a link in it.
 * What is read from disk is bounded, and only regular files are opened: a fifo would never answer.
 */
import { fileSha256 } from "../base/sha256.ts";
import * as posix from "../base/posix_path.ts";
import { dotted, type KeyPath, type Mistake, quoted } from "./diagnostics.ts";
import { imageKind } from "./image_kind.ts";
import type { Tree } from "./syntax.ts";
import { namedTablesAt, tableAt, tablesAt, textOf, textsOf } from "./tree_access.ts";
import type { FileDigest } from "./types.ts";

export interface ConfigReader {
  /** What `~/` stands for. */
  readonly home: string;
  kind(path: string): Promise<"file" | "folder" | "other" | undefined>;
  /** Links resolved as far down as the path exists. */
  canonical(path: string): Promise<string>;
  /** The bytes of a regular file, or at most `maxBytes + 1` of them. */
  read(path: string, maxBytes: number): Promise<Uint8Array>;
}

export interface HostFiles {
  readonly scripts: Readonly<Partial<Record<string, { content: string; file: string }>>>;
  /** Canonical path of each key that names one, by dotted key. */
  readonly paths: ReadonlyMap<string, string>;
  /** Files inside the project that a hook or ssh.command names, by dotted key. */
  readonly digests: ReadonlyMap<string, readonly FileDigest[]>;
}

const SCRIPT_BYTES_MAX = 1024 * 1024;
const PROGRAM_BYTES_MAX = 64 * 1024 * 1024;

export async function readHostFiles(
  tree: Tree,
  folder: string,
  reader: ConfigReader,
): Promise<{ files: HostFiles; mistakes: readonly Mistake[] }> {
  const gathering = new Gathering(folder, reader);
  for (const name of ["system", "boot"]) await gathering.script(tree, name);
  for (const { table, path } of tablesAt(tree, "mounts")) {
    await gathering.mountSource([...path, "source"], textOf(table, "source"));
  }
  const base = textOf(tableAt(tree, "image") ?? {}, "base");
  if (base !== undefined && imageKind(base) === "path") {
    await gathering.existing(["image", "base"], base, "file");
  }
  for (const { table, path } of namedTablesAt(tree, "services")) {
    const file = textOf(table, "env_file");
    if (file !== undefined) await gathering.existing([...path, "env_file"], file, "file");
  }
  for (const { table, path } of namedTablesAt(tree, "on")) {
    const words = textsOf(table, "exec").map(({ text }) => text);
    await gathering.digests([...path, "exec"], words);
  }
  const command = textOf(tableAt(tree, "ssh") ?? {}, "command");
  if (command !== undefined && command.includes("/")) {
    await gathering.canonical(["ssh", "command"], command);
    await gathering.digests(["ssh", "command"], [command]);
  }
  const screenshots = textOf(tableAt(tree, "tasks", "screenshot") ?? {}, "folder");
  if (screenshots !== undefined) {
    await gathering.canonical(["tasks", "screenshot", "folder"], screenshots);
  }
  return gathering;
}

/** Whether `path` is `folder` or below it; both canonical. */
export function isInside(folder: string, path: string): boolean {
  return path === folder || path.startsWith(folder === "/" ? "/" : folder + "/");
}

class Gathering {
  readonly mistakes: Mistake[] = [];
  readonly files = {
    scripts: {} as Record<string, { content: string; file: string }>,
    paths: new Map<string, string>(),
    digests: new Map<string, readonly FileDigest[]>(),
  };

  constructor(readonly folder: string, readonly reader: ConfigReader) {}

  async script(tree: Tree, name: string): Promise<void> {
    const file = textOf(tableAt(tree, "provision", name) ?? {}, "file");
    if (file === undefined) return;
    const at = ["provision", name, "file"];
    const path = await this.existing(at, file, "file");
    if (path === undefined) return;
    try {
      const bytes = await this.reader.read(path, SCRIPT_BYTES_MAX);
      if (bytes.length > SCRIPT_BYTES_MAX) throw new Error("it is larger than 1 MiB");
      const content = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
      this.files.scripts[name] = { content, file: path };
    } catch (thrown) {
      const why = thrown instanceof TypeError ? "it is not UTF-8 text" : messageOf(thrown);
      this.#unreadable(at, `Script ${quoted(file)} cannot be read: ${why}`);
    }
  }

  async mountSource(at: KeyPath, source: string | undefined): Promise<void> {
    if (source === undefined || !usable(source)) return;
    if (source !== "git") return void await this.existing(at, source, "folder");
    for (let folder = this.folder;; folder = posix.dirname(folder)) {
      if (await this.reader.kind(posix.join(folder, ".git")) !== undefined) {
        this.files.paths.set(dotted(at), await this.reader.canonical(folder));
        return;
      }
      if (folder === "/" || folder === ".") break;
    }
    this.#unreadable(
      at,
      `No git work tree around ${quoted(this.folder)}: no .git in it or in any folder above`,
    );
  }

  /** The canonical path, noted under its key; told as a mistake when it is not there. */
  async existing(
    at: KeyPath,
    text: string,
    wanted: "file" | "folder",
  ): Promise<string | undefined> {
    const path = await this.canonical(at, text);
    if (path === undefined) return undefined;
    const kind = await this.reader.kind(path);
    if (kind === wanted) return path;
    const found = kind === undefined
      ? "does not exist"
      : kind === "other"
      ? "is neither a file nor a folder"
      : `is a ${kind}`;
    this.#unreadable(at, `Path ${quoted(text)} of ${dotted(at)} ${found}; wanted a ${wanted}`);
    return undefined;
  }

  async canonical(at: KeyPath, text: string): Promise<string | undefined> {
    if (!usable(text)) return undefined;
    try {
      const path = await this.reader.canonical(this.#absolute(text));
      this.files.paths.set(dotted(at), path);
      return path;
    } catch (thrown) {
      this.#unreadable(at, `Path ${quoted(text)} of ${dotted(at)}: ${messageOf(thrown)}`);
      return undefined;
    }
  }

  /**
   * Which files of the project a command names, with their content's hash. Words are also taken
   * apart where a shell or `--option=path` would, so that `sh -c "./notify.sh up"` counts. A file
   * that such a program loads by itself is beyond this; `rum trust` says to keep hooks elsewhere.
   */
  async digests(at: KeyPath, words: readonly string[]): Promise<void> {
    const candidates = new Set(
      words.flatMap((word) => [word, ...word.split(/[\s;|&<>()'"`=]+/)]).filter(usable),
    );
    const found = new Map<string, FileDigest>();
    for (const candidate of candidates) {
      // A word that is no path at all (a whole shell script) is not a mistake.
      const path = await this.reader.canonical(this.#absolute(candidate)).catch(() => undefined);
      if (path === undefined || !isInside(this.folder, path)) continue;
      try {
        if (await this.reader.kind(path) !== "file") continue;
        const bytes = await this.reader.read(path, PROGRAM_BYTES_MAX);
        if (bytes.length > PROGRAM_BYTES_MAX) throw new Error("it is larger than 64 MiB");
        found.set(path, { path, sha256: await fileSha256(bytes) });
      } catch (thrown) {
        this.#unreadable(
          at,
          `File ${quoted(candidate)} of ${dotted(at)} cannot be read: ${messageOf(thrown)}`,
        );
      }
    }
    this.files.digests.set(
      dotted(at),
      [...found.values()].sort((a, b) => a.path < b.path ? -1 : 1),
    );
  }

  #absolute(text: string): string {
    if (text === "~") return this.reader.home;
    if (text.startsWith("~/")) return posix.join(this.reader.home, text.slice(2));
    return posix.resolve(this.folder, text);
  }

  #unreadable(path: KeyPath, message: string): void {
    this.mistakes.push({ code: "unreadable", path, at: "value", message });
  }
}

/** Not told here when it is not: the schema has (empty, control characters). */
function usable(path: string): boolean {
  return path !== "" && path.length <= 4096 && !/[\x00-\x1f\x7f]/.test(path);
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
