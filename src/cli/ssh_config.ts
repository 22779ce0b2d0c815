/**
 * `rum ssh-config`: prints the machine's `Host` block, or lets ~/.ssh/config include it. Installing
 * writes the block into the machine's folder and one line at the top of ~/.ssh/config that includes
 * the blocks of all machines; so it is done twice as well as once, `rum destroy` takes the block with
 * the folder, and nothing else of the user's file is ever touched.
 */
import { EXIT, RumError } from "../base/errors.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { readOwnFile } from "../store/ownership.ts";
import { configPath, sshBlock, sshHost } from "./ssh_block.ts";
import { sshRecord } from "./ssh_machine.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

const COMMENT = "# machines of rum (rum ssh-config --remove takes this away)";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { install, remove } = call.options;
  if (install === true && remove === true) {
    throw new RumError("usage", "Cannot install and remove at once: found --install and --remove");
  }
  const target = await targetOf(context);
  const { sshConfig } = target.paths;
  const file = `${context.host.home}/.ssh/config`;
  if (remove === true) {
    await Deno.remove(sshConfig).catch(ignoreMissing);
    const last = !await anyInstalled(context.paths.data);
    const changed = last && await edit(file, (text) => withoutInclude(text, context.paths.data));
    context.out.document("ssh_config", { removed: true, file, changed }, () => {
      return "ssh does not know the machine any more.";
    });
    return EXIT.ok;
  }
  const { machine } = await sshRecord(context, target);
  const block = sshBlock(machine);
  const host = sshHost(machine.name);
  if (install !== true) {
    context.out.document("ssh_config", { host, config: block }, () => block);
    return EXIT.ok;
  }
  await writeFileAtomic(sshConfig, block);
  const changed = await edit(file, (text) => withInclude(text, context.paths.data));
  context.out.document(
    "ssh_config",
    { host, config: block, installed: true, file, changed },
    () => {
      return `ssh ${host} works now, for every program that reads ${file}.`;
    },
  );
  return EXIT.ok;
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
async function edit(file: string, change: (text: string) => string): Promise<boolean> {
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
