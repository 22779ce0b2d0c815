import assert from "node:assert/strict";
import { createScriptLogs } from "../../../src/daemon/script_logs.ts";
import { machinePaths, rumPaths } from "../../../src/plan/paths.ts";
import { withFolder } from "../../support/folder.ts";

Deno.test("script logs: when a script's end is taken, its log is whole on the host", async () => {
  await withFolder(async (folder) => {
    const paths = machinePaths(rumPaths({ uid: 1000, home: folder }), "deadbeef");
    const path = paths.scriptLog("boot");
    await Deno.mkdir(path.replace(/\/[^/]+$/, ""), { recursive: true, mode: 0o700 });
    await using logs = createScriptLogs(paths, () => {});
    const of = { script: "boot", at: 0 };
    await logs.take({ ...of, seq: 1, kind: "started" });
    await logs.take({
      ...of,
      seq: 2,
      kind: "lines",
      lines: [{ at: 0, stream: "out", text: "last words" }],
    });
    await logs.take({ ...of, seq: 3, kind: "ended", code: 5 });
    // At once: waiting for a file would give the writing its time.
    assert.match(Deno.readTextFileSync(path), /\| last words\n.*! \[ended with 5\]\n$/);
  });
});
