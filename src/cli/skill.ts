/**
 * `rum skill`: the manual for coding agents, one Markdown document, kept as data so that the tests
 * can run every recipe in it as written.
 */
import { EXIT } from "../base/errors.ts";
import type { Context, VerbCall } from "./verb.ts";
import { SKILL } from "./skill_text.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  if (call.options.install !== true) {
    context.out.document("skill", { text: SKILL }, () => SKILL);
    return EXIT.ok;
  }
  const folder = `${context.host.home}/.claude/skills/rum`;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/SKILL.md`, SKILL);
  context.out.document(
    "skill",
    { path: `${folder}/SKILL.md` },
    () => `Wrote ${folder}/SKILL.md`,
  );
  return EXIT.ok;
}
