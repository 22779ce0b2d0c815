/**
 * What is mounted where, from /proc/self/mountinfo (the later of two on one target wins), and what
 * the kernel could mount.
 */
import { readText } from "../facts.ts";

export interface Mounted {
  readonly target: string;
  readonly type: string;
  readonly source: string;
  readonly readonly: boolean;
}

export async function mounted(): Promise<Mounted[]> {
  return parseMountinfo(await readText("/proc/self/mountinfo"));
}

export function parseMountinfo(text: string): Mounted[] {
  const found: Mounted[] = [];
  for (const line of text.split("\n")) {
    const [left, right] = line.split(" - ");
    if (right === undefined) continue;
    const fields = left.split(" ");
    const [type, source, superOptions] = right.split(" ");
    found.push({
      target: unescape(fields[4]),
      type,
      source: unescape(source),
      readonly: fields[5].split(",").includes("ro") ||
        (superOptions ?? "").split(",").includes("ro"),
    });
  }
  return found;
}

/** Whether /proc/filesystems names it: a type a line, after `nodev` where it needs no disk. */
export function kernelKnows(type: string, filesystems: string): boolean {
  return filesystems.split("\n").some((line) => line.split("\t").at(-1) === type);
}

/** Space, tab, line feed and backslash are written as three octal digits. */
function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(parseInt(octal, 8)));
}

export async function mountedAt(target: string): Promise<Mounted | undefined> {
  return (await mounted()).findLast((each) => each.target === target);
}
