/**
 * Which forwards a running machine has, for the daemon that comes after this one: picked ports stay
 * the same over its restart, and what was added or removed while running stays so. It holds for one
 * power-on; a record that cannot be read is none, and rum.toml counts again.
 */
import type { MachinePaths } from "../plan/paths.ts";
import { type Infer, integer, list, object, oneOf, text } from "../protocol/shape.ts";
import { writeFileAtomic } from "./atomic.ts";
import { readOwnFile } from "./ownership.ts";

const row = object({
  bind: text(64),
  host: integer(0, 65535),
  wanted: integer(0, 65535),
  guest: integer(1, 65535),
  proto: oneOf("tcp", "udp"),
  onConflict: oneOf("fail", "next"),
  origin: oneOf("config", "added"),
});
const shape = object({ v: integer(1, 1), forwards: list(row, 4096) });
type Row = Infer<typeof row>;

export async function readForwards(
  paths: Pick<MachinePaths, "forwards">,
): Promise<Row[] | undefined> {
  try {
    const found = await readOwnFile(paths.forwards);
    return found === undefined ? undefined : shape(JSON.parse(found), "").forwards;
  } catch {
    return undefined;
  }
}

export interface ForwardsKeeper extends AsyncDisposable {
  /** Resolves when it is on disk; when it cannot be, that is logged and the forwards serve on. */
  keep(forwards: readonly Row[]): Promise<void>;
  /** The machine is off. */
  forget(): Promise<void>;
}

export function createForwardsKeeper(
  paths: Pick<MachinePaths, "forwards">,
  log: (text: string) => void,
): ForwardsKeeper {
  let wanted: string | undefined;
  let written: string | undefined;
  let writing: Promise<void> = Promise.resolve();
  const write = async () => {
    const content = wanted;
    if (content === written) return;
    try {
      if (content === undefined) await Deno.remove(paths.forwards).catch(() => {});
      else await writeFileAtomic(paths.forwards, content);
      written = content;
    } catch (error) {
      log(`Cannot remember the forwards: ${error instanceof Error ? error.message : error}`);
    }
  };
  const after = () => writing = writing.then(write);
  return {
    keep(forwards) {
      wanted = JSON.stringify({ v: 1, forwards }) + "\n";
      return after();
    },
    async forget() {
      wanted = undefined;
      written ??= "";
      await after();
    },
    async [Symbol.asyncDispose]() {
      await writing;
    },
  };
}
