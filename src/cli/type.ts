/** `rum type`: text on the machine's keyboard; several words are joined by spaces, as typed. */
import { EXIT } from "../base/errors.ts";
import { daemonClient } from "./daemon_client.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const text = call.operands.join(" ") + (call.options.enter === true ? "\n" : "");
  await using client = await daemonClient(context, await targetOf(context));
  const answer = await client.request("type", { text }, {
    signal: context.signal,
    deadlineMs: context.globals.timeoutMs,
  });
  context.out.document("type", answer, () => "");
  return EXIT.ok;
}
