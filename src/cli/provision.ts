/** `rum provision`: rum.toml read anew, its scripts run again on the running machine, streaming. */
import { askMachine } from "./ask_machine.ts";
import { nearestConfig } from "./nearest_config.ts";
import { ensureTrusted } from "./trust.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const system = call.options.system === true;
  const boot = call.options.boot === true;
  const { target, did, exit } = await askMachine(
    context,
    "provision",
    { system, boot },
    async (target) => void await ensureTrusted(context, await nearestConfig(context, target)),
  );
  context.out.document(
    "provision",
    { id: target.id, did, exit },
    () =>
      did === "provisioned" ? "The scripts passed." : "Interrupted: the scripts were called off.",
  );
  return exit;
}
