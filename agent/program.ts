/**
 * The agent's own files. The first boot runs it from the seed, where nothing had to be copied before
 * it answered; when that boot is over it keeps a copy in the state, and upgrades add others:
 *
 *   <state>/agent/<digest>/rum-agent …    one folder per version, complete before it is named
 *   <state>/agent/current                 symlink to the program that the unit starts
 */
import { errno, libc } from "../ffi/libc.ts";
import { type Clock, systemClock } from "../src/base/clock.ts";
import { syncFolder, writeDurably } from "./durable.ts";
import { exists, ownFolder } from "./facts.ts";
import type { AgentOptions } from "./options.ts";

export const PROGRAM = "rum-agent";
/** The forms that a build may have: one file, or a stub with its runtime and script. */
const FILES = [PROGRAM, "rum-agent.js", "rum-agent-runtime"];

export function programFolder(options: AgentOptions, digest: string): string {
  return `${options.state}/agent/${digest.slice(0, 16)}`;
}

export function currentProgram(options: AgentOptions): string {
  return `${options.state}/agent/current`;
}

/**
 * The first hello comes in the thick of a boot, where 100 MB to the disk and seconds of an emulated processor
 * are the host's scripts', not ours. A guest that goes down before starts from its seed again.
 */
const KEEP_AFTER_MS = 60_000;

/** Copies the running program into the state, unless it runs from there. */
export async function keepOwnProgram(
  options: AgentOptions,
  digest: string,
  { signal, clock = systemClock }: { readonly signal: AbortSignal; readonly clock?: Clock },
): Promise<void> {
  const from = ownFolder();
  if (digest === "unknown" || from.startsWith(`${options.state}/agent/`)) return;
  const to = programFolder(options, digest);
  if (await exists(`${to}/rum-agent.digest`)) return await makeCurrent(options, digest);
  await clock.sleep(KEEP_AFTER_MS, { signal }).catch(() => {});
  if (signal.aborted) return;
  await Deno.mkdir(to, { recursive: true, mode: 0o700 });
  for (const name of FILES) {
    if (!await exists(`${from}/${name}`)) continue;
    await Deno.copyFile(`${from}/${name}`, `${to}/${name}.new`);
    await Deno.chmod(`${to}/${name}.new`, name === "rum-agent.js" ? 0o644 : 0o755);
    await Deno.rename(`${to}/${name}.new`, `${to}/${name}`);
  }
  if (!await exists(`${to}/${PROGRAM}`)) return;
  await sealProgram(to, digest);
  await makeCurrent(options, digest);
}

/** Written last: a folder without it is not complete. */
export async function sealProgram(folder: string, digest: string): Promise<void> {
  for await (const entry of Deno.readDir(folder)) {
    using file = await Deno.open(`${folder}/${entry.name}`);
    await file.sync();
  }
  await writeDurably(`${folder}/rum-agent.digest`, `${digest}\n`, { mode: 0o644 });
}

/** From now on the unit starts this one; the other versions go, but for the one before. */
export async function makeCurrent(options: AgentOptions, digest: string): Promise<void> {
  const current = currentProgram(options);
  const folder = `${options.state}/agent`;
  const before = await Deno.readLink(current).catch(() => undefined);
  const target = `${digest.slice(0, 16)}/${PROGRAM}`;
  if (before !== target) {
    await Deno.remove(`${current}.new`).catch(() => {});
    await Deno.symlink(target, `${current}.new`);
    await Deno.rename(`${current}.new`, current);
    await syncFolder(folder);
  }
  const keep = new Set([target, before ?? target].map((each) => each.split("/")[0]));
  for await (const entry of Deno.readDir(folder)) {
    if (!entry.isDirectory || keep.has(entry.name)) continue;
    await Deno.remove(`${folder}/${entry.name}`, { recursive: true }).catch(() => {});
  }
}

/**
 * Becomes the current program: same pid, so the unit sees no death. Returns only when that fails;
 * then the process ends and its unit starts the new one.
 */
export function replaceProcess(options: AgentOptions): void {
  const path = currentProgram(options);
  const argv = cStrings([path, ...Deno.args]);
  libc("execv")(argv.strings[0], argv.pointers);
  console.error(`rum-agent: cannot exec ${path} (errno ${errno()})`);
}

/** `char *const argv[]`: keep both alive while C reads them. */
export function cStrings(
  words: readonly string[],
): { strings: Uint8Array<ArrayBuffer>[]; pointers: Uint8Array<ArrayBuffer> } {
  const bytes = new TextEncoder();
  const strings = words.map((word) => bytes.encode(`${word}\0`));
  const pointers = new BigUint64Array(words.length + 1);
  strings.forEach((each, i) => {
    pointers[i] = Deno.UnsafePointer.value(Deno.UnsafePointer.of(each));
  });
  return { strings, pointers: new Uint8Array(pointers.buffer) };
}
