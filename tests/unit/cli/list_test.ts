import assert from "node:assert/strict";
import { listedDocument, listText } from "../../../src/cli/list.ts";
import type { ListedMachine } from "../../../src/store/list_machines.ts";

const WEB: ListedMachine = {
  id: "0123abcd",
  name: "web",
  phase: "running",
  cpus: 4,
  memoryBytes: 2 ** 31,
  ports: [{ host: 8080, guest: 80 }, { host: 0, guest: 5432 }],
  configPath: "/home/u/web/rum.toml",
  configExists: true,
  daemonPid: 42,
};

Deno.test("list: names, phases, ports, projects and daemons in columns", async (t) => {
  await t.assertSnapshot(listText([
    WEB,
    {
      ...WEB,
      id: "ffff0000",
      name: "a-longer-name",
      phase: "stopped",
      configExists: false,
      daemonPid: undefined,
      ports: [],
    },
    {
      id: "00000001",
      name: "00000001",
      phase: "unknown",
      ports: [],
      configExists: false,
      problem: { code: "state_invalid", message: "its record is corrupt" },
    },
  ]));
});

Deno.test("list: no machine is a sentence for people and an empty list for programs", () => {
  assert.match(listText([]), /^No machines/);
});

Deno.test("list: a program sees the daemon as null where there is none", () => {
  assert.deepEqual(listedDocument({ ...WEB, daemonPid: undefined }).daemon, null);
  assert.deepEqual(listedDocument(WEB).daemon, { pid: 42 });
});
