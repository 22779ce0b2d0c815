/** What every text must come to: a config, or diagnostics that point into it. */
import assert from "node:assert/strict";
import { renderDiagnostics } from "../../../src/config/render.ts";
import { BASE, check, PROJECT } from "./fake_reader.ts";

export const EXAMPLE = Deno.readTextFileSync(
  new URL("../../../docs/examples/rum.toml", import.meta.url),
);
export const DISK = {
  ...BASE,
  "/home/u/.git": null,
  [`${PROJECT}/setup.sh`]: "echo\n",
  "/outside": null,
};

export async function isAnswered(text: string): Promise<void> {
  const result = await check(text, DISK);
  if (result.kind === "ok") {
    assert.match(result.config.name, /^[a-z0-9][a-z0-9-]{0,62}$/);
    for (const mount of result.config.mounts) assert.match(mount.source, /^\//);
    JSON.stringify(result.config);
    return;
  }
  assert.ok(result.diagnostics.length > 0);
  const lines = text.replace(/^\ufeff/, "").split("\n");
  for (const { line, column, endColumn } of result.diagnostics) {
    assert.ok(line >= 1 && line <= lines.length, `line ${line} of ${lines.length}`);
    assert.ok(column >= 1 && column <= (lines[line - 1] ?? "").length + 2, `column ${column}`);
    assert.ok(endColumn > column);
  }
  // deno-lint-ignore no-control-regex
  assert.doesNotMatch(renderDiagnostics(result.diagnostics, { colour: false }), /[\x00-\x09\x1b]/);
}
