/**
 * The manual for coding agents and the README's two minutes, run as written: every line of their `sh`
 * blocks, in order, against one real machine. A line that both have runs once, and what ends the
 * machine comes last, so that this costs a first boot and a second one.
 */
import assert from "node:assert/strict";
import { SKILL } from "../../src/cli/skill_text.ts";
import { testImage } from "../support/machine.ts";
import { rumCommand, sandbox } from "../support/rum.ts";

const README = new URL("../../README.md", import.meta.url);

/** Commands of the `sh` blocks: a line each, without remarks. */
function commands(markdown: string): string[] {
  return [...markdown.matchAll(/^```sh\n([\s\S]*?)^```/gm)]
    .flatMap(([, block]) => block.split("\n"))
    .map((line) => line.replace(/\s+# .*$/, "").trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}

/** From here on the machine stops, starts again and goes. */
const END = "rum down";

Deno.test("every recipe of rum skill and every command of the README's two minutes runs as written", async (t) => {
  const readme = await Deno.readTextFile(README);
  const twoMinutes = /^## Two minutes\n([\s\S]*?)^## /m.exec(readme)![1];
  const skill = commands(SKILL);
  const short = commands(twoMinutes);
  const [skillEnd, shortEnd] = [skill.indexOf(END), short.indexOf(END)];
  assert.ok(skillEnd > 10 && shortEnd > 3, "where the machine stops is not found");
  assert.deepEqual(skill.slice(skillEnd), short.slice(shortEnd));
  const before = skill.slice(0, skillEnd);
  const lines = [
    ...before,
    ...short.slice(0, shortEnd).filter((line) => !before.includes(line)),
    ...skill.slice(skillEnd),
  ];

  await testImage();
  await using box = await sandbox({ prefix: "rum-skill-" });
  await Deno.writeTextFile(`${box.project}/README.md`, "# A project has one\n");
  const bin = `${box.home}/bin`;
  await Deno.mkdir(bin);
  const words = rumCommand().map((word) => `'${word}'`).join(" ");
  await Deno.writeTextFile(`${bin}/rum`, `#!/bin/sh\nexec ${words} "$@"\n`, { mode: 0o755 });
  for (const line of lines) {
    await t.step(line, async () => {
      const { code, stdout, stderr } = await new Deno.Command("sh", {
        args: ["-c", line],
        cwd: box.project,
        clearEnv: true,
        env: { ...box.env, PATH: `${bin}:${box.env.PATH}` },
        stdin: "null",
        signal: AbortSignal.timeout(900_000),
      }).output();
      const text = new TextDecoder();
      assert.equal(code, 0, text.decode(stdout).slice(-2000) + text.decode(stderr).slice(-2000));
      for (
        const document of / -o json\b/.test(line) ? text.decode(stdout).trim().split("\n") : []
      ) {
        assert.equal(JSON.parse(document).v, 1, line);
      }
    });
  }
});
