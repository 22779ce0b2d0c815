/** Pages that name tests and files name real ones. */
import assert from "node:assert/strict";
import { ROOT } from "../../../src/build/bundle.ts";
import { TREE } from "../../../src/cli/tree.ts";

Deno.test("every row of the threat page names a test that is there", async () => {
  const page = await Deno.readTextFile(`${ROOT}docs/threats.md`);
  const defended = page.slice(0, page.indexOf("## Not defended against"));
  const rows = defended.split("\n").filter((line) => /^\| (?!---)/.test(line))
    .filter((line) => !/\| test \|$/.test(line));
  assert.ok(rows.length > 30);
  for (const row of rows) {
    const [, file, name] = /`(tests\/\S+_test\.ts)` "([^"]+)" \|$/.exec(row) ?? [];
    assert.ok(file !== undefined, `a row without a test: ${row}`);
    const text = await Deno.readTextFile(ROOT + file);
    assert.ok(text.includes(name), `${file} has no test "${name}"`);
  }
});

for (const page of ["guide.md", "comparison.md", "threats.md", "bench.md"]) {
  Deno.test(`docs/${page} links to files and commands that are there`, async () => {
    const text = await Deno.readTextFile(`${ROOT}docs/${page}`);
    for (const [, link] of text.matchAll(/\]\(([^)#:]+)\)/g)) {
      await Deno.stat(`${ROOT}docs/${link}`);
    }
    const verbs = new Set(TREE.flatMap((spec) => [spec.name, ...(spec.aliases ?? [])]));
    for (const [, verb] of text.matchAll(/(?:^|`)rum (?:-[cmo] \S+ )?([a-z][a-z-]+)\b/gm)) {
      assert.ok(verbs.has(verb), `docs/${page}: there is no rum ${verb}`);
    }
  });
}
