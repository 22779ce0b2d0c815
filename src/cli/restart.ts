/** `rum restart`: shut down as `down` does, then start by what rum.toml says now. */
import { askMachine } from "./ask_machine.ts";
import { nearestConfig } from "./nearest_config.ts";
import { ensureTrusted } from "./trust.ts";
import type { Context } from "./verb.ts";

export async function run(context: Context): Promise<number> {
  const { target, did, exit, interrupted } = await askMachine(
    context,
    "restart",
    {},
    async (target) => void await ensureTrusted(context, await nearestConfig(context, target)),
  );
  context.out.document("restart", { id: target.id, did, exit }, () => {
    if (interrupted && did === "left") return "Interrupted; the restart goes on by itself.";
    switch (did) {
      case "ready":
        return "The machine is ready again.";
      case "not_ready":
        return "The machine runs again, but it is not ready; rum status says why.";
      default:
        return `Interrupted: ${did}.`;
    }
  });
  return exit;
}
