/**
 * A copy from beginning to end, over whatever link leads to the agent's file methods: where it goes
 * when the target is a folder, what is refused, and what came of it. `rum cp` is this and words.
 */
import { RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import type { FileMeta, WriteParams } from "../protocol/agent.ts";
import type { Mux } from "../wire/mux_types.ts";
import {
  readFromGuest,
  readTreeFromGuest,
  statInGuest,
  writeToGuest,
  writeTreeToGuest,
} from "./agent_files.ts";
import { fileContent, localMeta, type SourceOptions, treeContent } from "./copy_source.ts";
import { FileTarget, type TargetOptions, TreeTarget } from "./copy_target.ts";
import type { TreeBounds } from "./tree_names.ts";

export interface CopyOptions extends SourceOptions, TargetOptions {
  readonly recursive: boolean;
  readonly signal?: AbortSignal;
  readonly bounds?: TreeBounds;
  /** Told once it is known, for files. */
  readonly total?: (bytes: number) => void;
}

export interface CopyResult {
  readonly bytes: number;
  readonly files: number;
  /** Of a single file. */
  readonly digest?: string;
  readonly leftOut: readonly string[];
  /** Where it went. */
  readonly target: string;
}

export interface ToGuest {
  /** Absolute; ending in `/.` for what is in the folder rather than the folder. */
  readonly from: string;
  readonly to: string;
  readonly owner: (path: string) => GuestOwner | undefined;
}

export interface GuestOwner {
  readonly user: string;
  /** A file that is there keeps its own. */
  readonly ofNew: boolean;
}

/** @throws {RumError} `no_such_file`, `invalid_params`, `disk_full`, … */
export async function copyToGuest(
  mux: Mux,
  { from, to, owner }: ToGuest,
  options: CopyOptions,
): Promise<CopyResult> {
  const { signal } = options;
  const source = split(from);
  const meta = await localMeta(source.path);
  refuseKind(meta, source.path, options.recursive);
  const there = await guestMeta(mux, to, signal);
  const target = placeIn(source, to, there, meta);
  const params: WriteParams = { path: target, ...userOf(owner(target)) };
  const { leftOut, told } = noted(options);
  if (meta.type === "file") {
    options.total?.(meta.size);
    const { sha256, bytes } = await writeToGuest(
      mux,
      { ...params, mode: meta.mode, mtimeMs: meta.mtimeMs },
      fileContent(source.path, told),
      { signal },
    );
    return { bytes, files: 1, digest: sha256, leftOut, target };
  }
  let files = 0;
  const entries = async function* () {
    for await (const each of treeContent(source.path, told)) {
      if (each.entry.meta.type === "file") files++;
      yield each;
    }
  };
  const { bytes } = await writeTreeToGuest(mux, params, entries(), { signal });
  return { bytes, files, leftOut, target };
}

/** What comes in at stdin, as a file. */
export async function streamToGuest(
  mux: Mux,
  content: AsyncIterable<Uint8Array>,
  { to, owner }: Pick<ToGuest, "to" | "owner">,
  options: Pick<CopyOptions, "signal" | "progress">,
): Promise<CopyResult> {
  if ((await guestMeta(mux, to, options.signal))?.type === "folder") {
    throw new RumError(
      "invalid_params",
      `Cannot write stdin to "${to}" in the guest: it is a folder`,
    );
  }
  const counted = async function* () {
    for await (const chunk of content) {
      options.progress?.(chunk.length);
      yield chunk;
    }
  };
  const params = { path: to, ...userOf(owner(to)) };
  const { sha256, bytes } = await writeToGuest(mux, params, counted(), options);
  return { bytes, files: 1, digest: sha256, leftOut: [], target: to };
}

/** @throws {RumError} `no_such_file`, `invalid_params`, `agent_lied`, `disk_full`, … */
export async function copyFromGuest(
  mux: Mux,
  { from, to }: { readonly from: string; readonly to: string },
  options: CopyOptions,
): Promise<CopyResult> {
  const { signal, bounds } = options;
  const source = split(from);
  const meta = await statInGuest(mux, source.path, { signal });
  refuseKind(meta, `:${source.path}`, options.recursive);
  const there = await Deno.stat(to).catch(() => undefined);
  const kind = there === undefined
    ? undefined
    : there.isDirectory
    ? "folder"
    : there.isFile
    ? "file"
    : "other";
  const placed = placeIn(source, to, kind === undefined ? undefined : { type: kind }, meta);
  const { leftOut, told } = noted(options);
  if (meta.type === "file") {
    options.total?.(meta.size);
    // Whoever copies over a link to a file means the file.
    const target = await Deno.realPath(placed).catch(() => placed);
    using sink = new FileTarget(target, told);
    const { sha256, bytes } = await readFromGuest(mux, source.path, sink, { signal, bounds });
    await sink.publish();
    return { bytes, files: 1, digest: sha256, leftOut, target };
  }
  using sink = new TreeTarget(placed, told);
  const { bytes } = await readTreeFromGuest(mux, source.path, sink, { signal, bounds });
  await sink.publish();
  return { bytes, files: sink.files, leftOut, target: placed };
}

/** To stdout; the checksum is known at the end only. */
export async function streamFromGuest(
  mux: Mux,
  from: string,
  write: (bytes: Uint8Array) => Promise<void>,
  options: Pick<CopyOptions, "signal" | "bounds" | "progress">,
): Promise<CopyResult> {
  const zeros = new Uint8Array(64 * 1024);
  const { sha256, bytes } = await readFromGuest(mux, from, {
    meta() {},
    async data(chunk) {
      options.progress?.(chunk.length);
      await write(chunk);
    },
    async zeros(count) {
      options.progress?.(count);
      for (let left = count; left > 0; left -= zeros.length) {
        await write(left >= zeros.length ? zeros : zeros.subarray(0, left));
      }
    },
  }, options);
  return { bytes, files: 1, digest: sha256, leftOut: [], target: "-" };
}

interface Source {
  readonly path: string;
  /** Undefined: what is in the folder, not the folder. */
  readonly name: string | undefined;
}

/** `a/b/` and `a/b` are b; `a/.` and `/` are what is in them. */
export function split(path: string): Source {
  const inner = /^(.*)\/\.$/.exec(path);
  if (inner !== null) return { path: inner[1] || "/", name: undefined };
  const trimmed = path.replace(/\/+$/, "");
  if (trimmed === "") return { path: "/", name: undefined };
  return { path: trimmed, name: trimmed.slice(trimmed.lastIndexOf("/") + 1) };
}

/** Where a source ends up: under its own name inside a folder that is there, else as the target. */
export function placeIn(
  source: Source,
  to: string,
  there: Pick<FileMeta, "type"> | undefined,
  meta: Pick<FileMeta, "type">,
): string {
  const target = to.replace(/(?<=.)\/+$/, "");
  if (there?.type === "folder") {
    if (source.name === undefined) return target;
    return target === "/" ? `/${source.name}` : `${target}/${source.name}`;
  }
  if (there?.type === "other") {
    throw new RumError("invalid_params", `Cannot copy to "${to}": it is no file and no folder`);
  }
  if (there !== undefined && (meta.type === "folder" || to.endsWith("/"))) {
    throw new RumError("invalid_params", `Cannot copy to "${to}": it is a file, wanted a folder`);
  }
  if (there === undefined && meta.type === "file" && to.endsWith("/")) {
    throw new RumError("no_such_file", `Cannot copy to "${to}": there is no such folder`);
  }
  return target;
}

function refuseKind(meta: FileMeta, shown: string, recursive: boolean): void {
  if (meta.type === "folder" && !recursive) {
    throw new RumError("invalid_params", `Cannot copy "${printableLine(shown)}": it is a folder`, {
      hint: "rum cp -r",
    });
  }
  if (meta.type === "other" || meta.type === "link") {
    throw new RumError(
      "invalid_params",
      `Cannot copy "${printableLine(shown)}": it is no file and no folder`,
    );
  }
}

async function guestMeta(
  mux: Mux,
  path: string,
  signal: AbortSignal | undefined,
): Promise<FileMeta | undefined> {
  try {
    return await statInGuest(mux, path.replace(/(?<=.)\/+$/, ""), { signal });
  } catch (error) {
    if (error instanceof RumError && error.code === "no_such_file") return undefined;
    throw error;
  }
}

function userOf(owner: GuestOwner | undefined): Pick<WriteParams, "user" | "ownerOfNew"> {
  return owner === undefined ? {} : { user: owner.user, ownerOfNew: owner.ofNew };
}

/** Keeps what was left out, up to a number that a hostile tree cannot pass. */
function noted(options: CopyOptions): { leftOut: string[]; told: CopyOptions } {
  const leftOut: string[] = [];
  return {
    leftOut,
    told: {
      ...options,
      leftOut(why) {
        if (leftOut.length < 1000) leftOut.push(why);
        options.leftOut?.(why);
      },
    },
  };
}
