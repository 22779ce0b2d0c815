/** `rum keys`: chords on the machine's keyboard, one after the other. */
import { EXIT } from "../base/errors.ts";
import { daemonClient } from "./daemon_client.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  await using client = await daemonClient(context, await targetOf(context));
  const answer = await client.request("keys", { keys: call.operands }, {
    signal: context.signal,
    deadlineMs: context.globals.timeoutMs,
  });
  context.out.document("keys", answer, () => "");
  return EXIT.ok;
}
