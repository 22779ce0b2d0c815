/** `rum version`: what this build is. */
import { EXIT } from "../base/errors.ts";
import { BUILD, VERSION } from "../base/version.ts";
import type { Context } from "./verb.ts";

export function run(context: Context): Promise<number> {
  const body = { version: VERSION, ...BUILD, deno: Deno.version.deno, arch: Deno.build.arch };
  context.out.document(
    "version",
    body,
    () => `rum ${VERSION} (${BUILD.form}, commit ${BUILD.commit}, deno ${Deno.version.deno})`,
  );
  return Promise.resolve(EXIT.ok);
}
