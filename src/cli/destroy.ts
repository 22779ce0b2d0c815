/** `rum destroy`: off, undefined, disks and folder gone. Asks on a terminal. */
import { EXIT, RumError, toRumError } from "../base/errors.ts";
import { confirmed } from "./confirm.ts";
import { lateness } from "./lateness.ts";
import { hasMachineFolder } from "../store/machine_folder.ts";
import { stopMachine } from "./stop_machine.ts";
import { type Target, targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const target = await targetOf(context);
  const there = await hasMachineFolder(target.paths);
  if (there && call.options.yes !== true) {
    const sure = await confirmed(
      context,
      `Delete machine ${target.id} (${target.configPath ?? "project unknown"}) with its disks?`,
      { hint: "rum destroy -y" },
    );
    if (!sure) throw new RumError("interrupted", "Nothing was deleted");
  }
  const installed = await Deno.stat(target.paths.sshConfig).then(() => true, () => false);
  using late = lateness(
    context,
    "destroy",
    "rum destroy",
    () => "what it began goes on, by the background process or by the next rum destroy",
  );
  if (there) {
    // Without an answer it is gone as well: its daemon ended before it could say so.
    await Promise.race([
      stopMachine(context, target, {
        operation: "destroy",
        params: {},
        alone: (client) => ({ kind: "destroy", client }),
        deadlineMs: 120_000,
      }),
      late.never,
    ]);
  }
  if (installed && there) await forgetForSsh(context, target);
  const did = there ? "destroyed" : "nothing";
  context.out.document(
    "destroy",
    { did, id: target.id },
    () => did === "nothing" ? "There is no machine here." : "The machine and its disks are gone.",
  );
  return EXIT.ok;
}

/** The block went with the folder; the line in ~/.ssh/config goes with the last block. */
async function forgetForSsh(context: Context, target: Target): Promise<void> {
  const { forgetMachine } = await import("./ssh_include.ts");
  try {
    await forgetMachine(context, target.paths);
  } catch (thrown) {
    const { message } = toRumError(thrown);
    context.out.note(`The machine is gone; its line in ~/.ssh/config is not: ${message}`);
  }
}
