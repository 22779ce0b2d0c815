/**
 * The built file for tests: the one that RUM_TEST_BINARY names (every command of the tests runs it) or
 * RUM_TEST_BUILT (`tests/run.ts` has just built it), else built from this checkout once per test
 * process, in the form that can be built here.
 */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;

export interface Built extends AsyncDisposable {
  /** Everybody may read and run it. */
  readonly rum: string;
}

export async function builtRum(): Promise<Built> {
  const given = Deno.env.get("RUM_TEST_BINARY") ?? Deno.env.get("RUM_TEST_BUILT");
  if (given !== undefined) return { rum: given, async [Symbol.asyncDispose]() {} };
  const folder = await Deno.makeTempDir({ prefix: "rum-built-" });
  await Deno.chmod(folder, 0o755);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", `${ROOT}src/build/build.ts`, "--out", folder],
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  assert.ok(success, text.decode(stdout) + text.decode(stderr));
  return {
    rum: `${folder}/rum`,
    async [Symbol.asyncDispose]() {
      await Deno.remove(folder, { recursive: true });
    },
  };
}
