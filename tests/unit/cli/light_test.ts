/**
 * What the light commands load, held by the module graph and not by a clock: their start is the
 * start of Deno as long as they import no package, nothing of Node's, and few modules.
 */
import assert from "node:assert/strict";
import { RUNTIME_FLAGS } from "../../../src/base/runtime_flags.ts";

const ROOT = new URL("../../../", import.meta.url);
const MODULES_MAX = 45;

interface Module {
  readonly specifier: string;
  readonly dependencies?: readonly {
    readonly isDynamic?: boolean;
    readonly code?: { readonly specifier?: string };
  }[];
}

Deno.test("light commands load no package, nothing of Node's, and few modules", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--quiet", "--json", "main.ts"],
    cwd: ROOT,
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as { modules: Module[] };
  const byName = new Map(modules.map((module) => [module.specifier, module]));
  for (const verb of ["help", "version", "list", "status", "config"]) {
    const loaded = new Set<string>();
    const ahead = [new URL("main.ts", ROOT).href, new URL(`src/cli/${verb}.ts`, ROOT).href];
    for (let at = ahead.pop(); at !== undefined; at = ahead.pop()) {
      if (loaded.has(at)) continue;
      loaded.add(at);
      for (const { isDynamic, code } of byName.get(at)?.dependencies ?? []) {
        if (isDynamic !== true && code?.specifier !== undefined) ahead.push(code.specifier);
      }
    }
    assert.ok(loaded.size > 10, verb);
    assert.deepEqual([...loaded].filter((name) => !name.startsWith("file:")), [], verb);
    assert.ok(loaded.size <= MODULES_MAX, `${verb} loads ${loaded.size} modules`);
  }
});

Deno.test("in every form, what is imported lazily is looked at when it is imported", () => {
  const { unstable } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT)));
  assert.ok(unstable.includes("lazy-dynamic-imports"));
  assert.ok(RUNTIME_FLAGS.includes("--unstable-lazy-dynamic-imports"));
});
