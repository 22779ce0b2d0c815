/** `rum doctor [--fix]`: what this host has and lacks for rum, as a table or one document. */
import { EXIT } from "../base/errors.ts";
import { type Check, checkHost, missingNeeds } from "../libvirt/host_checks.ts";
import { applyFixes, fixCommands, planFixes } from "../libvirt/host_fixes.ts";
import { requireNoAnswer } from "./confirm.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, { options }: VerbCall): Promise<number> {
  const host = { env: context.host, paths: context.paths, user: context.env.USER };
  let checks = await checkHost(host);
  const fixed: string[] = [];
  if (options.fix === true) {
    const plan = fixCommands(planFixes(checks));
    if (plan.length > 0 && await agreed(context, plan, options.yes === true)) {
      await applyFixes(checks, {
        uid: context.host.uid,
        signal: context.signal,
        say: (line) => {
          fixed.push(line);
          context.out.note(line);
        },
      });
      checks = await checkHost(host);
    }
  }
  const missing = missingNeeds(checks);
  const body = {
    ok: missing.length === 0,
    checks: checks.map(({ packages: _p, commands: _c, ...check }) => check),
    fixed,
  };
  context.out.document("doctor", body, () => table(checks));
  return missing.length === 0 ? EXIT.ok : EXIT.host_prerequisite;
}

async function agreed(context: Context, plan: string[][], yes: boolean): Promise<boolean> {
  if (yes) return true;
  if (!context.canAsk) {
    requireNoAnswer(context, "Run these commands?", { hint: "rum doctor --fix -y" });
    return true;
  }
  const clack = await import("@clack/prompts");
  for (const command of plan) context.out.note(`  ${command.join(" ")}`);
  const answer = await clack.confirm({ message: "Run these commands?", signal: context.signal });
  context.signal.throwIfAborted();
  return answer === true;
}

function table(checks: readonly Check[]): string {
  const width = Math.max(...checks.map(({ what }) => what.length));
  const lines = checks.flatMap(({ what, need, ok, found, remedy }) => {
    const mark = ok ? "ok" : need === "needed" ? "MISSING" : "without";
    const line = `${mark.padEnd(7)}  ${what.padEnd(width)}  ${found}`;
    return remedy === undefined ? [line] : [line, `${" ".repeat(width + 11)}remedy: ${remedy}`];
  });
  const missing = missingNeeds(checks);
  lines.push(
    missing.length === 0
      ? "This host can run `rum up`."
      : `${missing.length} needed ${
        missing.length === 1 ? "thing is" : "things are"
      } missing: rum doctor --fix`,
  );
  return lines.join("\n");
}
