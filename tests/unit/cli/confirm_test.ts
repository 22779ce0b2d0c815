import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { confirmed } from "../../../src/cli/confirm.ts";
import { run as destroy } from "../../../src/cli/destroy.ts";
import type { Context } from "../../../src/cli/verb.ts";
import { machinePaths, rumPaths } from "../../../src/plan/paths.ts";
import { bindConfigPath, ensureMachineFolder } from "../../../src/store/machine_folder.ts";
import { createOutput } from "../../../src/ui/output.ts";
import { withFolder } from "../../support/folder.ts";

function contextOf(home: string, { terminal, noInput }: { terminal: boolean; noInput: boolean }) {
  const host = { uid: Deno.uid() ?? 0, home, xdgDataHome: `${home}/data` };
  const nowhere = { writeSync: (bytes: Uint8Array) => bytes.length };
  const context: Context = {
    cwd: home,
    env: {},
    host,
    paths: rumPaths(host),
    out: createOutput({
      mode: terminal ? "interactive" : "plain",
      colour: false,
      verbose: false,
      quiet: false,
      stdout: nowhere,
      stderr: nowhere,
    }),
    globals: { verbose: false, quiet: false, noInput, machine: "0123abcd" },
    signal: new AbortController().signal,
    canAsk: terminal && !noInput,
    stdinIsTerminal: terminal,
    stdoutIsTerminal: terminal,
  };
  return context;
}

const unasked = (hint: string) => (error: unknown) =>
  error instanceof RumError && error.code === "needs_confirmation" && error.hint === hint;

Deno.test("confirmed: --no-input on a terminal is an error, without a terminal the command is what was meant", async () => {
  const ask = (terminal: boolean) =>
    confirmed(contextOf("/", { terminal, noInput: true }), "Really?", { hint: "rum x -y" });
  await assert.rejects(ask(true), unasked("rum x -y"));
  assert.equal(await ask(false), true);
});

Deno.test("destroy: --no-input on a terminal deletes nothing, and names -y", async () => {
  await withFolder(async (home) => {
    const context = contextOf(home, { terminal: true, noInput: true });
    const paths = machinePaths(context.paths, "0123abcd");
    await ensureMachineFolder(context.paths, paths);
    await bindConfigPath(paths, `${home}/rum.toml`);
    const call = { verb: ["destroy"], operands: [], options: {} };
    await assert.rejects(destroy(context, call), unasked("rum destroy -y"));
    assert.ok((await Deno.stat(paths.folder)).isDirectory);
  });
});
