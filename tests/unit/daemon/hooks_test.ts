/** Which program a hook's first word finds. */
import assert from "node:assert/strict";
import { createHooks, searchPathOutside } from "../../../src/daemon/hooks.ts";
import type { MachineEvent } from "../../../src/protocol/machine_events.ts";
import { withFolder } from "../../support/folder.ts";

Deno.test("a hook: no program of the project is found by its name alone", async () => {
  await withFolder(async (temp) => {
    const top = await Deno.realPath(temp);
    const project = `${top}/project`;
    for (const [place, says] of [[`${project}/bin`, "project"], [`${top}/bin`, "host"]]) {
      await Deno.mkdir(place, { recursive: true });
      await Deno.writeTextFile(`${place}/tell`, `#!/bin/sh\necho ${says}\n`, { mode: 0o755 });
    }
    await Deno.symlink(`${project}/bin`, `${top}/link`);
    const before = Deno.env.get("PATH")!;
    Deno.env.set("PATH", `${project}/bin:bin::${top}/link:${top}/bin:${before}`);
    try {
      const logged: string[] = [];
      let listener = (_: MachineEvent) => {};
      await using hooks = createHooks({
        follow(each) {
          listener = each;
          return () => {};
        },
        hooks: () => [{ event: "stopped", exec: ["tell"], timeoutMs: 60_000, files: [] }],
        machine: () => ({ id: "01234567", name: "x", config_path: `${project}/rum.toml` }),
        requireApproved: () => Promise.resolve(),
        emit: (event) => assert.fail(JSON.stringify(event)),
        log: (text) => logged.push(text),
      });
      listener({ kind: "phase", from: "running", phase: "stopped" } as MachineEvent);
      await hooks.idle();
      assert.deepEqual(logged, ["hook on.stopped: host"]);
    } finally {
      Deno.env.set("PATH", before);
    }
  });
});

Deno.test("a search path without the project's places keeps the others, there or not", () => {
  assert.equal(
    searchPathOutside("/p", "/usr/bin:/p/bin:/q/../p/x::.:/p:/opt/none:/projects/bin"),
    "/usr/bin:/opt/none:/projects/bin",
  );
  assert.equal(searchPathOutside("/p", "/p/bin"), "/usr/sbin:/usr/bin:/sbin:/bin");
});
