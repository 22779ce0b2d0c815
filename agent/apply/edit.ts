/** Changing a file only when its content differs, and only the part between rum's own marks. */
import { writeDurably } from "../durable.ts";
import { readText } from "../facts.ts";

const BEGIN = "# begin rum";
const END = "# end rum";

/** True when it was changed. */
export async function putFile(path: string, content: string, mode: number): Promise<boolean> {
  const before = await Deno.readTextFile(path).catch(() => undefined);
  if (before === content) return false;
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")) || "/", { recursive: true });
  await writeDurably(path, content, { mode });
  await Deno.chmod(path, mode);
  return true;
}

/** Replaces rum's block in a text, or adds it at the end; other lines are somebody else's. */
export function withBlock(text: string, lines: readonly string[]): string {
  const kept: string[] = [];
  let inside = false;
  for (const line of text.split("\n")) {
    if (line === BEGIN) inside = true;
    else if (line === END) inside = false;
    else if (!inside) kept.push(line);
  }
  while (kept.length > 0 && kept[kept.length - 1] === "") kept.pop();
  const block = lines.length === 0 ? [] : [BEGIN, ...lines, END];
  const all = [...kept, ...block];
  return all.length === 0 ? "" : all.join("\n") + "\n";
}

export async function putBlock(
  path: string,
  lines: readonly string[],
  mode: number,
): Promise<boolean> {
  return await putFile(path, withBlock(await readText(path), lines), mode);
}
