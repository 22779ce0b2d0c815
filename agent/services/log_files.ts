/**
 * Log files of services. The process itself holds the file open for appending, so rotation copies
 * and truncates: lines written between the two are lost, which a service that fills 10 MiB in a
 * second may see. The other way, a pipe through the agent, would end services with the agent.
 */
const LOOK_MS = 1000;

export interface LogLimits {
  readonly maxBytes: number;
  readonly keep: number;
}

/** Looks at the files that `current` names, once a second, until the signal. */
export function rotateLogs(
  current: () => Iterable<readonly [path: string, limits: LogLimits]>,
  options: { readonly signal: AbortSignal; readonly log: (line: string) => void },
): void {
  let busy = false;
  const look = async () => {
    if (busy) return;
    busy = true;
    for (const [path, limits] of current()) {
      await rotateLog(path, limits).catch((error) =>
        options.log(`rotating ${path}: ${error instanceof Error ? error.message : error}`)
      );
    }
    busy = false;
  };
  const timer = setInterval(look, LOOK_MS);
  options.signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

/** `log` → `log.1` → … → `log.(keep − 1)`, when `log` is over its size. */
export async function rotateLog(path: string, limits: LogLimits): Promise<boolean> {
  const size = await Deno.stat(path).then((found) => found.size, () => 0);
  if (size < limits.maxBytes) return false;
  for (let n = limits.keep - 1; n >= 1; n--) {
    const from = n === 1 ? path : `${path}.${n - 1}`;
    if (n === 1) await Deno.copyFile(from, `${path}.1`);
    else await Deno.rename(from, `${path}.${n}`).catch(ignoreAbsent);
  }
  await Deno.truncate(path, 0);
  return true;
}

/** The last lines, out of the present file and as many older ones as it takes. */
export async function tailLog(path: string, lines: number, maxBytes = 1 << 20): Promise<string> {
  return (await tailLogAt(path, lines, maxBytes)).text;
}

/** The same, and up to where the present file was read: from there it is followed. */
export async function tailLogAt(
  path: string,
  lines: number,
  maxBytes = 1 << 20,
): Promise<{ text: string; end: number }> {
  let text = "";
  let end = 0;
  for (let n = 0; text.length < maxBytes && text.split("\n").length <= lines; n++) {
    const older = await readEnd(n === 0 ? path : `${path}.${n}`, maxBytes - text.length);
    if (older === undefined) break;
    if (n === 0) end = older.end;
    text = older.text + text;
  }
  const all = text.split("\n");
  const open = all.pop();
  const kept = open === "" ? all.slice(-lines) : [...all, open!].slice(-lines);
  return { text: kept.length === 0 ? "" : kept.join("\n") + (open === "" ? "\n" : ""), end };
}

async function readEnd(
  path: string,
  bytes: number,
): Promise<{ text: string; end: number } | undefined> {
  try {
    using file = await Deno.open(path);
    const { size } = await file.stat();
    const from = Math.max(0, size - bytes);
    await file.seek(from, Deno.SeekMode.Start);
    const buffer = new Uint8Array(size - from);
    let fill = 0;
    while (fill < buffer.length) {
      const count = await file.read(buffer.subarray(fill));
      if (count === null) break;
      fill += count;
    }
    return { text: new TextDecoder().decode(buffer.subarray(0, fill)), end: from + fill };
  } catch (error) {
    ignoreAbsent(error);
    return undefined;
  }
}

function ignoreAbsent(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
