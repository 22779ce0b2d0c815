/**
 * The `sync` folders of this guest: one base each, opened when the host asks, one batch at a time.
 * Files on their way are staged beside the base when that is the folder's own file system (then
 * nobody in the folder sees them), else in the folder itself under a name of ours.
 */
import { createHash } from "../src/base/hash.ts";
import { RumError } from "../src/base/errors.ts";
import { requireAbsolute } from "./apply/mounts.ts";
import { FolderBase } from "./folder_base.ts";
import { lstat } from "./folder_place.ts";
import type { Owner } from "./folder_write.ts";
import { OneAtATime } from "./one_at_a_time.ts";

export interface OpenFolder {
  readonly target: string;
  readonly base: FolderBase;
  readonly turn: OneAtATime;
  stage(): string;
}

export class Folders {
  readonly #state: string;
  readonly #open = new Map<string, OpenFolder>();
  readonly #opening = new OneAtATime();

  constructor(state: string) {
    this.#state = state;
  }

  /** Makes the folder when it is missing. */
  open(target: string, owner: Owner): Promise<OpenFolder> {
    return this.#opening.run(() => this.#openNow(target, owner));
  }

  async #openNow(target: string, owner: Owner): Promise<OpenFolder> {
    requireAbsolute(target);
    const there = Deno.statSync(makeFolder(target, owner));
    if (!there.isDirectory) {
      throw new RumError("invalid_params", `"${target}" in the guest is no folder`);
    }
    const known = this.#open.get(target);
    const folder = known ?? await this.#make(target, there);
    // A folder that lost everything (a tmpfs after a reboot, another disk) is a new one.
    if (folder.base.entries.size > 0 && isBare(folder)) folder.base.clear();
    return folder;
  }

  get(target: string): OpenFolder {
    const folder = this.#open.get(target);
    if (folder !== undefined) return folder;
    throw new RumError("invalid_params", `The folder "${target}" was not opened`);
  }

  close(): void {
    for (const { base } of this.#open.values()) base[Symbol.dispose]();
    this.#open.clear();
  }

  async #make(target: string, there: Deno.FileInfo): Promise<OpenFolder> {
    const home = `${this.#state}/folders`;
    const stageHome = `${home}/stage`;
    if (this.#open.size === 0) sweep(stageHome);
    Deno.mkdirSync(stageHome, { recursive: true, mode: 0o700 });
    const name = createHash("sha256").update(target).digest("hex").slice(0, 16);
    const besides = Deno.statSync(stageHome).dev === there.dev;
    const folder: OpenFolder = {
      target,
      base: await FolderBase.open(`${home}/${name}.jsonl`),
      turn: new OneAtATime(),
      stage: () =>
        besides
          ? `${stageHome}/${crypto.randomUUID()}`
          : `${target}/.rum-${crypto.randomUUID().slice(0, 12)}`,
    };
    this.#open.set(target, folder);
    return folder;
  }
}

/** What an agent that was killed left on its way. */
function sweep(stageHome: string): void {
  try {
    Deno.removeSync(stageHome, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function isBare({ target, base }: OpenFolder): boolean {
  for (const path of base.entries.keys()) {
    if (!path.includes("/") && lstat(`${target}/${path}`) !== undefined) return false;
  }
  return true;
}

function makeFolder(target: string, owner: Owner): string {
  const missing: string[] = [];
  for (let path = target; path !== "" && lstat(path) === undefined;) {
    missing.push(path);
    path = path.slice(0, path.lastIndexOf("/"));
  }
  Deno.mkdirSync(target, { recursive: true });
  // `apply` made it as root before anybody knew whose it is.
  const empty = missing.length > 0 || Deno.readDirSync(target)[Symbol.iterator]().next().done;
  const made = missing.length > 0 ? missing : empty ? [target] : [];
  for (const path of made) {
    if (owner.uid !== undefined && owner.gid !== undefined) {
      Deno.chownSync(path, owner.uid, owner.gid);
    }
  }
  return target;
}
