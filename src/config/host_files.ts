/**
 * The files and folders on the host that rum.toml names, through an injected reader: scripts become
 * text, paths become canonical. Links are resolved here because "inside the project folder" decides
 * what needs approval (trust.ts), and a guest that can write the project can plant a link in it.
 * What is read from disk is bounded, and only regular files are opened: a fifo would never answer.
 */
import * as posix from "../base/posix_path.ts";
import { commandFiles, programFile } from "./command_files.ts";
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
  /** Where a link points, as it says; undefined when it is no link. */
  link(path: string): Promise<string | undefined>;
  /** The bytes of a regular file, or at most `maxBytes + 1` of them. */
  read(path: string, maxBytes: number): Promise<Uint8Array>;
}

export interface HostFiles {
  readonly scripts: Readonly<Partial<Record<string, { content: string; file: string }>>>;
  /** Canonical path of each key that names one, by dotted key. */
  readonly paths: ReadonlyMap<string, string>;
  /** What a hook or ssh.command runs of the project (command_files.ts), by dotted key. */
  readonly digests: ReadonlyMap<string, readonly FileDigest[]>;
}

const SCRIPT_BYTES_MAX = 1024 * 1024;

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
    const path = await gathering.canonical(["ssh", "command"], command);
    // What is run is the place it leads to now.
    if (path !== undefined) await gathering.program(["ssh", "command"], path);
  }
  const screenshots = textOf(tableAt(tree, "tasks", "screenshot") ?? {}, "folder");
  if (screenshots !== undefined) {
    await gathering.canonical(["tasks", "screenshot", "folder"], screenshots);
  }
  return gathering;
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

  async digests(at: KeyPath, words: readonly string[]): Promise<void> {
    await this.#noted(at, () => commandFiles(words, this));
  }

  async program(at: KeyPath, path: string): Promise<void> {
    await this.#noted(at, async () => {
      const file = await programFile(path, this);
      return file === undefined ? [] : [file];
    });
  }

  async #noted(at: KeyPath, look: () => Promise<readonly FileDigest[]>): Promise<void> {
    try {
      this.files.digests.set(dotted(at), await look());
    } catch (thrown) {
      this.#unreadable(at, `${messageOf(thrown)}, and ${dotted(at)} names it`);
    }
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
