/**
 * A host folder, a real agent process and a folder in "the guest" (this host), with rum's bridge
 * between them; and what the tests compare: a tree as one text.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { FolderSync } from "../../src/guest/folder_sync.ts";
import { type AgentProcess, agentProcess } from "./agent_process.ts";

export interface FolderBed extends AsyncDisposable {
  readonly host: string;
  readonly guest: string;
  readonly agent: AgentProcess;
  readonly sync: FolderSync;
  readonly warnings: string[];
  readonly notes: string[];
  attach(): Promise<void>;
  /** Another bridge, as a new daemon would have it. */
  again(): Promise<FolderSync>;
  /** Waits until both sides are equal (what is ignored aside). */
  equal(options?: { ignored?: (path: string) => boolean }): Promise<void>;
}

const COPY_MS = 180_000;

export async function folderBed(): Promise<FolderBed> {
  const agent = await agentProcess();
  const host = `${agent.folder}/host`;
  const guest = `${agent.folder}/guest`;
  await Deno.mkdir(host);
  const warnings: string[] = [];
  const notes: string[] = [];
  const make = () =>
    new FolderSync({
      source: host,
      target: guest,
      warn: (text) => warnings.push(text),
      note: (text) => notes.push(text),
    });
  let sync = make();
  const attach = async () => {
    await sync.attach(await agent.session.ready({ timeoutMs: 30_000 }));
  };
  return {
    host,
    guest,
    agent,
    warnings,
    notes,
    get sync() {
      return sync;
    },
    attach,
    async again() {
      await sync.detach();
      sync = make();
      await attach();
      return sync;
    },
    async equal({ ignored } = {}) {
      const seen = () => JSON.stringify([sync.status, warnings]);
      // Comparing thousands of files is work too, and is not done while they are being copied.
      const still = async () => {
        await until(() => sync.status.state !== "copying", seen, COPY_MS);
      };
      await treesEqual(host, guest, { ignored, seen, still });
    },
    async [Symbol.asyncDispose]() {
      await sync.detach();
      await agent[Symbol.asyncDispose]();
    },
  };
}

export async function treesEqual(
  host: string,
  guest: string,
  options: {
    ignored?: (path: string) => boolean;
    seen?: () => string;
    still?: () => Promise<void>;
  } = {},
): Promise<void> {
  const { ignored, seen = () => "", still } = options;
  let last: [string, string] = ["", ""];
  await until(
    async () => {
      await still?.();
      // Hashing thousands of files holds up the bridge in this very process: only at the end.
      for (const content of [false, true]) {
        last = [treeText(host, { ignored, content }), treeText(guest, { ignored, content })];
        if (last[0] !== last[1]) return false;
      }
      return true;
    },
    () => `${firstDifference(...last)} ${seen()}`,
    COPY_MS,
  );
}

/** Every path with type, mode, size, time, and (unless not wanted) content or link target. */
export function treeText(
  top: string,
  options: { ignored?: (path: string) => boolean; content?: boolean } = {},
): string {
  const { ignored = () => false, content = true } = options;
  const lines: string[] = [];
  const walk = (folder: string) => {
    for (const { name } of Deno.readDirSync(folder === "" ? top : `${top}/${folder}`)) {
      const path = folder === "" ? name : `${folder}/${name}`;
      if (ignored(path)) continue;
      lines.push(`${JSON.stringify(path)} ${describe(`${top}/${path}`, content)}`);
      if (Deno.lstatSync(`${top}/${path}`).isDirectory) walk(path);
    }
  };
  try {
    walk("");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    lines.push(`changing: ${error.message}`);
  }
  return lines.sort().join("\n");
}

function describe(path: string, content: boolean): string {
  const info = Deno.lstatSync(path);
  const mode = ((info.mode ?? 0) & 0o7777).toString(8);
  if (info.isSymlink) return `link ${Deno.readLinkSync(path)}`;
  if (info.isDirectory) return `folder ${mode}`;
  const sha = content
    ? createHash("sha256").update(Deno.readFileSync(path)).digest("hex").slice(0, 12)
    : "";
  return `file ${mode} ${info.size} ${info.mtime?.getTime()} ${sha}`;
}

function firstDifference(host: string, guest: string): string {
  const there = new Set(guest.split("\n"));
  const here = new Set(host.split("\n"));
  return JSON.stringify({
    onlyHost: [...here].filter((line) => !there.has(line)).slice(0, 5),
    onlyGuest: [...there].filter((line) => !here.has(line)).slice(0, 5),
  });
}

/** Asks again and again; fails with what was seen last. The time is a wall, not a measure. */
export async function until(
  check: () => boolean | Promise<boolean>,
  seen: () => string = () => "",
  withinMs = 120_000,
): Promise<void> {
  const end = performance.now() + withinMs;
  while (!await check()) {
    assert.ok(performance.now() < end, `not so within ${withinMs / 1000} s: ${seen()}`);
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

export interface FolderWatch extends AsyncDisposable {
  readonly lines: string[];
  /**
   * The lines that are not mere reading, complete up to now: a file of its own comes and goes in
   * the folder and is waited for, because the kernel tells events in order.
   */
  changes(): Promise<string[]>;
}

const FENCE = ".fence";

/** inotifywait on a folder and everything below it; its lines as they come. */
export async function watchGuest(folder: string): Promise<FolderWatch> {
  const child = new Deno.Command("inotifywait", {
    args: ["-m", "-r", "--format", "%w%f %e", folder],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const lines: string[] = [];
  const ready = Promise.withResolvers<void>();
  const read = async (stream: ReadableStream<Uint8Array>, take: (line: string) => void) => {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const parts = (rest + text).split("\n");
      rest = parts.pop()!;
      parts.forEach(take);
    }
  };
  const done = Promise.all([
    read(child.stdout, (line) => lines.push(line.replace(`${folder}/`, ""))),
    read(child.stderr, (line) => {
      if (/established/.test(line)) ready.resolve();
    }),
  ]);
  await ready.promise;
  return {
    lines,
    async changes() {
      const fence = `${FENCE}${lines.length}`;
      Deno.writeTextFileSync(`${folder}/${fence}`, "");
      await until(() => lines.includes(`${fence} CREATE`), () => lines.join("; "));
      Deno.removeSync(`${folder}/${fence}`);
      const end = lines.indexOf(`${fence} CREATE`);
      return lines.slice(0, end).filter((line) =>
        !line.startsWith(FENCE) && !/OPEN|ACCESS|CLOSE_NOWRITE/.test(line)
      );
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await done;
    },
  };
}
