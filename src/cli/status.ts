/**
 * `rum status`: one look, in words or JSON. A broken rum.toml, a dead daemon and a missing libvirt
 * are things it tells of, never reasons to fail.
 */
import { EXIT } from "../base/errors.ts";
import { lookAt } from "./look.ts";
import { statusText } from "./status_text.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const target = await targetOf(context);
  if (call.options.watch === true) {
    const { watchStatus } = await import("./status_watch.ts");
    return await watchStatus(context, target);
  }
  const look = await lookAt(target, { home: context.host.home, signal: context.signal });
  context.out.document("status", look, () => statusText(look));
  return EXIT.ok;
}
