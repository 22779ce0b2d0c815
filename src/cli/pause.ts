/** `rum pause` and `rum resume`: the machine's processors stand still, or go on. */
import { askMachine } from "./ask_machine.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const verb = call.verb[0] === "resume" ? "resume" : "pause";
  const { target, did, exit, interrupted } = await askMachine(context, verb, {});
  context.out.document(verb, { id: target.id, did, exit }, () => {
    switch (did) {
      case "paused":
        return "The machine is paused; rum resume lets it go on.";
      case "resumed":
        return "The machine goes on.";
      default:
        if (interrupted) return `Interrupted; the ${verb} goes on by itself.`;
        return verb === "pause" ? "The machine is paused already." : "The machine is not paused.";
    }
  });
  return exit;
}
