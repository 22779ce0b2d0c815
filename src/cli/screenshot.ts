/** `rum screenshot`: the machine's screen as PNG, once or again and again. */
import * as posix from "../base/posix_path.ts";
import { EXIT, RumError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import type { BytesEvent } from "../protocol/daemon.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { fileError } from "../store/ownership.ts";
import { readState } from "../store/state_file.ts";
import { daemonClient } from "./daemon_client.ts";
import { untilInterrupted } from "./follow.ts";
import { wholeOption } from "./number_option.ts";
import { durationOption } from "./globals.ts";
import { type Target, targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

const EVERY_MIN_MS = 100;

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { file, every } = call.options;
  const everyMs = typeof every === "string" ? durationOption("--every", every) : undefined;
  if (everyMs !== undefined && everyMs < EVERY_MIN_MS) {
    throw new RumError("usage", `Cannot use --every "${every}": wanted at least ${EVERY_MIN_MS}ms`);
  }
  requireName(file);
  const keep = wholeOption("--keep", call.options.keep, 1_000_000);
  const toStdout = file === "-";
  if (keep !== undefined && (everyMs === undefined || keep < 1)) {
    throw new RumError("usage", "Cannot use --keep: it needs --every, and at least 1", {
      hint: "rum screenshot --help",
    });
  }
  const target = await targetOf(context);
  const given = typeof file === "string" ? posix.resolve(context.cwd, file) : undefined;
  if (given !== undefined && !toStdout) await requireFolder(given);
  await using client = await daemonClient(context, target);
  const stem = given?.replace(/\.png$/i, "") ?? `${context.cwd}/${await ownName(target)}`;
  const written: string[] = [];
  using end = untilInterrupted(context);
  const save = async (png: Uint8Array) => {
    if (toStdout) return await context.out.bytes(png);
    // One picture keeps the name that was asked for; a series is numbered.
    const name = everyMs === undefined
      ? given ?? `${stem}.png`
      : `${stem}-${String(written.length + 1).padStart(5, "0")}.png`;
    const path = given === undefined ? await reserved(name) : name;
    await writeFileAtomic(path, png, { mode: 0o644 });
    written.push(path);
    const old = keep === undefined ? undefined : written.at(-keep - 1);
    if (old !== undefined && old !== path) await Deno.remove(old).catch(() => {});
    const say = () => `${path} (${formatSize(png.length)})`;
    const body = { path, bytes: png.length };
    if (everyMs === undefined) context.out.document("screenshot", body, say);
    else context.out.record("screenshot", body, say);
  };
  try {
    let parts: Uint8Array[] = [];
    await client.request("screenshot", everyMs === undefined ? {} : { every_ms: everyMs }, {
      signal: end.signal,
      async onEvent(event: BytesEvent) {
        if (event.data !== "") parts.push(Uint8Array.fromBase64(event.data));
        if (!event.end) return;
        const png = await new Blob(parts as BlobPart[]).bytes();
        parts = [];
        await save(png);
      },
    });
    return EXIT.ok;
  } catch (thrown) {
    if (!end.signal.aborted) throw thrown;
    const exit = end.exit();
    return everyMs === undefined ? EXIT.interrupted : exit;
  }
}

/** `NAME-TIME`, as the machine is called. */
async function ownName({ id, paths }: Target): Promise<string> {
  const state = await readState(paths);
  const stamp = new Date().toISOString().replace(/[-:]/g, "").replace(/\.\d+Z$/, "");
  return `${state.kind === "ok" ? state.record.name : id}-${stamp}`;
}

/** A name that nobody asked for takes no other file's place: that, or with a number, made here. */
async function reserved(path: string): Promise<string> {
  for (let n = 1;; n++) {
    const free = n === 1 ? path : path.replace(/\.png$/, `-${n}.png`);
    try {
      (await Deno.open(free, { write: true, createNew: true, mode: 0o644 })).close();
      return free;
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) {
        throw fileError(error, `Cannot write "${free}"`);
      }
    }
  }
}

/** `-o` is the file here, and everywhere else how rum speaks. @throws {RumError} `usage` */
function requireName(file: unknown): void {
  if (file === "") throw new RumError("usage", "Cannot write a picture to a file without a name");
  if (typeof file !== "string" || !/^(auto|interactive|plain|json)$/.test(file)) return;
  throw new RumError(
    "usage",
    `Cannot tell what "-o ${file}" means: -o of screenshot names the file; wanted --output ${file}, or ./${file}`,
    { hint: `rum screenshot --output ${file}` },
  );
}

/** Told before a picture is taken. */
async function requireFolder(path: string): Promise<void> {
  if (await Deno.stat(path).then((info) => info.isDirectory, () => false)) {
    throw new RumError("usage", `Cannot write "${path}": it is a folder; wanted a file's name`, {
      hint: "rum screenshot --help",
    });
  }
  const folder = posix.dirname(path);
  const found = await Deno.stat(folder).catch((error) => {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return;
    throw fileError(error, `Cannot write "${path}"`);
  });
  if (found?.isDirectory) return;
  throw new RumError("no_such_file", `Cannot write "${path}": there is no folder "${folder}"`);
}
