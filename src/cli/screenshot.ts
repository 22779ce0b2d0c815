/** `rum screenshot`: the machine's screen as PNG, once or again and again. */
import * as posix from "../base/posix_path.ts";
import { EXIT, RumError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import type { BytesEvent } from "../protocol/daemon.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { daemonClient } from "./daemon_client.ts";
import { untilInterrupted } from "./follow.ts";
import { wholeOption } from "./number_option.ts";
import { durationOption } from "./globals.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { file, every } = call.options;
  const everyMs = typeof every === "string" ? durationOption("--every", every) : undefined;
  const keep = wholeOption("--keep", call.options.keep, 1_000_000);
  const toStdout = file === "-";
  if (keep !== undefined && (everyMs === undefined || keep < 1)) {
    throw new RumError("usage", "Cannot use --keep: it needs --every, and at least 1", {
      hint: "rum screenshot --help",
    });
  }
  const target = await targetOf(context);
  await using client = await daemonClient(context, target);
  const nameOf = namer(context, typeof file === "string" ? file : undefined, target.id, everyMs);
  const written: string[] = [];
  using end = untilInterrupted(context);
  const save = async (png: Uint8Array) => {
    if (toStdout) return await context.out.bytes(png);
    const path = nameOf(written.length + 1);
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

/** One picture keeps the name that was asked for; a series is numbered. */
function namer(
  context: Context,
  file: string | undefined,
  id: string,
  everyMs: number | undefined,
): (n: number) => string {
  const stamp = new Date().toISOString().replace(/[-:]/g, "").replace(/\.\d+Z$/, "");
  const given = posix.resolve(context.cwd, file ?? `rum-${id}-${stamp}.png`);
  if (everyMs === undefined) return () => given;
  const stem = given.replace(/\.png$/i, "");
  return (n) => `${stem}-${String(n).padStart(5, "0")}.png`;
}
