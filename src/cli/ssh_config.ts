/**
 * `rum ssh-config`: prints the machine's `Host` block, or lets ~/.ssh/config include it. Installing
 * writes the block into the machine's folder and one line at the top of ~/.ssh/config that includes
 * the blocks of all machines; so it is done twice as well as once, `rum destroy` takes the block with
 * the folder and the line with the last block, and nothing else of the user's file is ever touched.
 */
import { EXIT, RumError } from "../base/errors.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { sshBlock, sshHost } from "./ssh_block.ts";
import { edit, forgetMachine, userSshConfig, withInclude } from "./ssh_include.ts";
import { sshRecord } from "./ssh_machine.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { install, remove } = call.options;
  if (install === true && remove === true) {
    throw new RumError("usage", "Cannot install and remove at once: found --install and --remove");
  }
  const target = await targetOf(context);
  const { sshConfig } = target.paths;
  const file = userSshConfig(context);
  if (remove === true) {
    const changed = await forgetMachine(context, target.paths);
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
