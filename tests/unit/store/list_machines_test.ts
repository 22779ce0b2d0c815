import assert from "node:assert/strict";
import { newRecord } from "../../../src/machine/record.ts";
import { machinePaths, rumPaths } from "../../../src/plan/paths.ts";
import { bindConfigPath, ensureMachineFolder } from "../../../src/store/machine_folder.ts";
import { listMachines } from "../../../src/store/list_machines.ts";
import { bootId, processIdentity } from "../../../src/store/flock.ts";
import { saveState } from "../../../src/store/state_file.ts";
import { withFolder } from "../../support/folder.ts";

Deno.test("listMachines: a hundred folders, broken ones among them, are a hundred rows", async () => {
  await withFolder(async (home) => {
    const rum = rumPaths({ uid: Deno.uid() ?? 0, home, xdgDataHome: `${home}/data` });
    assert.deepEqual(await listMachines(rum), [], "no folder at all is an empty list");
    Deno.writeTextFileSync(`${home}/rum.toml`, "");
    for (let n = 0; n < 100; n++) {
      const id = (0xabc00000 + n).toString(16);
      const paths = machinePaths(rum, id);
      await ensureMachineFolder(rum, paths);
      const configPath = n === 1 ? `${home}/gone/rum.toml` : `${home}/rum.toml`;
      await bindConfigPath(paths, configPath);
      await saveState(paths, {
        ...newRecord({
          id,
          uuid: "00000000-0000-5000-8000-000000000000",
          name: `m${String(n).padStart(3, "0")}`,
          hypervisorName: `rum-m-${id}`,
          configPath,
          rumVersion: "0.1.0",
          now: "2026-01-01T00:00:00Z",
        }),
        phase: { kind: "running", text: "running", since: "2026-01-01T00:00:00Z" },
        host_boot_id: n === 2 ? "another-boot" : await bootId(),
        qemu: {
          pid: Deno.pid,
          start_time: (await processIdentity(Deno.pid))!.start_time + (n === 3 ? 1 : 0),
        },
      });
      if (n === 4) Deno.writeTextFileSync(paths.state, "{");
      if (n === 5) {
        Deno.removeSync(paths.state);
        Deno.symlinkSync("/etc/passwd", paths.state);
      }
      if (n === 6) Deno.writeTextFileSync(paths.daemonJson, "garbage");
    }
    const port = {
      bind: "127.0.0.1",
      wanted: 0,
      proto: "tcp",
      onConflict: "fail",
      origin: "added",
    };
    const forwards = [{ ...port, host: 2222, guest: 22 }];
    // The second one went off with its host, and left the file behind.
    for (const n of [0, 2]) {
      const { forwards: file } = machinePaths(rum, (0xabc00000 + n).toString(16));
      Deno.writeTextFileSync(file, JSON.stringify({ v: 1, forwards }), { mode: 0o600 });
    }
    Deno.writeTextFileSync(`${rum.data}/README`, "not a machine");
    const rows = await listMachines(rum);
    assert.equal(rows.length, 100);
    const row = (n: number) => rows.find((r) => r.id === (0xabc00000 + n).toString(16))!;
    assert.deepEqual([row(0).phase, row(0).qemuAlive, row(0).configExists], [
      "running",
      true,
      true,
    ]);
    assert.deepEqual(row(0).ports, [{ host: 2222, guest: 22 }]);
    assert.deepEqual(row(2).ports, []);
    assert.equal(row(1).configExists, false);
    assert.equal(row(2).phase, "stopped", "the host was rebooted since");
    assert.deepEqual(
      [row(3).phase, row(3).qemuAlive],
      ["stopped", false],
      "a reused pid is not it",
    );
    assert.equal(row(4).problem?.code, "state_invalid");
    assert.equal(row(5).problem?.code, "state_invalid");
    assert.deepEqual([row(6).phase, row(6).daemonPid], ["running", undefined]);
    assert.deepEqual(rows.map((r) => r.name), rows.map((r) => r.name).toSorted());
  });
});

Deno.test("listMachines: a machine on a remote host runs on through a reboot of this one", async () => {
  await withFolder(async (home) => {
    const rum = rumPaths({ uid: Deno.uid() ?? 0, home, xdgDataHome: `${home}/data` });
    for (const [id, kind] of [["abc00000", "remote"], ["abc00001", "system"]] as const) {
      const paths = machinePaths(rum, id);
      await ensureMachineFolder(rum, paths);
      await saveState(paths, {
        ...newRecord({
          id,
          uuid: "00000000-0000-5000-8000-000000000000",
          name: kind,
          hypervisorName: `rum-${kind}-${id}`,
          configPath: `${home}/rum.toml`,
          rumVersion: "0.1.0",
          now: "2026-01-01T00:00:00Z",
        }),
        desired: "running",
        phase: { kind: "running", text: "running", since: "2026-01-01T00:00:00Z" },
        hypervisor: { uri: "qemu+ssh://host/system", kind, reason: "rum.toml names it" },
        host_boot_id: "another-boot",
      });
    }
    assert.deepEqual(
      (await listMachines(rum)).map(({ name, phase, lostWithHost }) => [name, phase, lostWithHost]),
      [["remote", "running", undefined], ["system", "stopped", true]],
    );
  });
});
