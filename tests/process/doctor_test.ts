/** `rum doctor` from outside: one document, honest about this host, with an exit code to match. */
import assert from "node:assert/strict";

const ROOT = new URL("../../", import.meta.url).pathname;

interface DoctorDocument {
  readonly v: number;
  readonly type: string;
  readonly ok: boolean;
  readonly checks: readonly {
    readonly id: string;
    readonly need: string;
    readonly ok: boolean;
    readonly found: string;
    readonly remedy?: string;
  }[];
}

Deno.test("rum doctor -o json prints one document whose exit code follows from its checks", async () => {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-check", "-A", `${ROOT}main.ts`, "-o", "json", "doctor"],
    cwd: "/",
    stderr: "inherit",
  }).output();
  const lines = new TextDecoder().decode(stdout).trim().split("\n");
  assert.equal(lines.length, 1);
  const document: DoctorDocument = JSON.parse(lines[0]);
  assert.equal(document.v, 1);
  assert.equal(document.type, "doctor");
  const needed = document.checks.filter((check) => check.need === "needed");
  assert.ok(needed.length >= 4);
  assert.equal(document.ok, needed.every((check) => check.ok));
  assert.equal(code, document.ok ? 0 : 12);
  for (const check of document.checks) {
    assert.notEqual(check.found, "", check.id);
    if (!check.ok) assert.notEqual(check.remedy, undefined, `${check.id} has no remedy`);
  }
});
