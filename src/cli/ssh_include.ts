/**
 * The one line of ~/.ssh/config that includes the blocks of all installed machines: put in with the
 * first, taken out with the last, whether that goes by `rum ssh-config --remove` or by `rum destroy`.
 */
import { RumError } from "../base/errors.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { readOwnFile } from "../store/ownership.ts";
import { configPath } from "./ssh_block.ts";
import type { Context } from "./verb.ts";

const COMMENT = "# machines of rum (rum ssh-config --remove takes this away)";

export function userSshConfig(context: Pick<Context, "host">): string {
  return `${context.host.home}/.ssh/config`;
}

/** The machine's block goes; with the last one the line. @returns whether the line went */
export async function forgetMachine(
  context: Pick<Context, "host" | "paths">,
  machine: Pick<MachinePaths, "sshConfig">,
): Promise<boolean> {
  const { data } = context.paths;
  await Deno.remove(machine.sshConfig).catch(ignoreMissing);
  if (await anyInstalled(data)) return false;
  return await edit(userSshConfig(context), (text) => withoutInclude(text, data));
}

function includeLine(data: string): string {
  return `Include ${configPath(`${data}/*/ssh_config`)}`;
}

/** On top: further down it could stand inside somebody's Host block. */
export function withInclude(text: string, data: string): string {
  const line = includeLine(data);
  if (text.split("\n").some((each) => each.trim() === line)) return text;
  return `${COMMENT}\n${line}\n${text === "" ? "" : "\n"}${text}`;
}

export function withoutInclude(text: string, data: string): string {
  const line = includeLine(data);
  const lines = text.split("\n");
  const at = lines.findIndex((each) => each.trim() === line);
  if (at < 0) return text;
  const from = lines[at - 1] === COMMENT ? at - 1 : at;
  const to = lines[at + 1] === "" ? at + 2 : at + 1;
  return [...lines.slice(0, from), ...lines.slice(to)].join("\n");
}

/** Whether any machine has a block installed. */
async function anyInstalled(data: string): Promise<boolean> {
  try {
    for await (const { name } of Deno.readDir(data)) {
      if (!/^[0-9a-f]{8}$/.test(name)) continue;
      if (await Deno.stat(`${data}/${name}/ssh_config`).then(() => true, () => false)) return true;
    }
  } catch (error) {
    ignoreMissing(error);
  }
  return false;
}

/** Follows a link (people keep this file elsewhere), keeps its mode. True when it changed. */
export async function edit(file: string, change: (text: string) => string): Promise<boolean> {
  const real = await Deno.realPath(file).catch((error) => {
    ignoreMissing(error);
    return file;
  });
  const before = await readOwnFile(real);
  if (before?.includes("\ufffd")) {
    throw new RumError("not_supported", `Cannot edit "${real}": it is not UTF-8`, {
      hint: "put the output of rum ssh-config into it by hand",
    });
  }
  const after = change(before ?? "");
  if (after === (before ?? "")) return false;
  if (before === undefined) {
    await Deno.mkdir(real.slice(0, real.lastIndexOf("/")), { recursive: true, mode: 0o700 });
  }
  const mode = before === undefined ? 0o600 : ((await Deno.stat(real)).mode ?? 0o600) & 0o777;
  await writeFileAtomic(real, after, { mode });
  return true;
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
