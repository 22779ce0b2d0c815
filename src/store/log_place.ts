/**
 * A place in a log of lines that outlives its writer: how far the log was when it was noted, found
 * again after rotations by the file's inode. What stands behind it is what was written since.
 */
import { type Infer, integer, object } from "../protocol/shape.ts";
import { logFiles } from "./line_log.ts";

export const logPlace = object({ ino: integer(), size: integer() });
export type LogPlace = Infer<typeof logPlace>;

/** More than this behind a place is not read: whoever notes places does so more often. */
const AFTER_MAX = 8 * 2 ** 20;

/** Where the next line will stand; undefined when there is no such log. */
export async function endOfLog(path: string): Promise<LogPlace | undefined> {
  const info = await Deno.lstat(path).catch(() => undefined);
  return info === undefined ? undefined : { ino: info.ino ?? 0, size: info.size };
}

/** The whole lines behind a place, oldest first; none when the place is not there any more. */
export async function linesAfter(path: string, place: LogPlace): Promise<string[]> {
  const files = await logFiles(path);
  const places = await Promise.all(files.map(endOfLog));
  const from = places.findIndex((each) => each?.ino === place.ino);
  if (from === -1) return [];
  let bytes = -place.size;
  for (const each of places.slice(from)) bytes += each?.size ?? 0;
  if (bytes <= 0 || bytes > AFTER_MAX) return [];
  const decoder = new TextDecoder();
  let text = "";
  for (const file of files.slice(from)) {
    const all = await Deno.readFile(file);
    text += decoder.decode(all.subarray(file === files[from] ? place.size : 0));
  }
  // What follows the last line feed is torn, or nothing.
  return text.split("\n").slice(0, -1);
}
