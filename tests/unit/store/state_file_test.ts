import assert from "node:assert/strict";
import type { RumError } from "../../../src/base/errors.ts";
import { newRecord, parseRecord } from "../../../src/machine/record.ts";
import { identityOf } from "../../../src/plan/identity.ts";
import { machinePaths, rumPaths } from "../../../src/plan/paths.ts";
import { firstToken } from "../../../src/store/agent_token.ts";
import {
  createRecordKeeper,
  loadState,
  readState,
  saveState,
} from "../../../src/store/state_file.ts";
import {
  bindConfigPath,
  ensureMachineFolder,
  readConfigPath,
  removeMachineFolder,
} from "../../../src/store/machine_folder.ts";
import {
  describeDaemon,
  readDaemonRecord,
  writeDaemonRecord,
} from "../../../src/store/daemon_record.ts";
import { withFolder } from "../../support/folder.ts";

const CONFIG = "/home/someone/project/rum.toml";

async function withMachine(
  work: (m: {
    rum: ReturnType<typeof rumPaths>;
    paths: ReturnType<typeof machinePaths>;
    record: ReturnType<typeof newRecord>;
    home: string;
  }) => Promise<void>,
): Promise<void> {
  await withFolder(async (home) => {
    const uid = Deno.uid() ?? 0;
    const rum = rumPaths({ uid, home, xdgDataHome: `${home}/data`, xdgCacheHome: `${home}/cache` });
    const { id, uuid } = identityOf(CONFIG);
    const paths = machinePaths(rum, id);
    await ensureMachineFolder(rum, paths);
    await bindConfigPath(paths, CONFIG);
    const record = newRecord({
      id,
      uuid,
      name: "project",
      hypervisorName: `rum-project-${id}`,
      configPath: CONFIG,
      rumVersion: "0.1.0",
      now: "2026-01-01T00:00:00.000Z",
    });
    await work({ rum, paths, record, home });
  });
}

Deno.test("state.json: what is saved is what is read, private, and merged patch by patch", async () => {
  await withMachine(async ({ paths, record }) => {
    const keeper = createRecordKeeper(paths, record);
    await Promise.all([
      keeper.save({ first_boot: { kind: "under_way", operation: "op-1" } }),
      keeper.save({ desired: "running" }),
      keeper.save({ first_boot: { kind: "done", scripts: { system: "abc" } } }),
    ]);
    const reading = await readState(paths);
    assert.ok(reading.kind === "ok");
    assert.deepEqual(reading.record.first_boot, { kind: "done", scripts: { system: "abc" } });
    assert.equal(reading.record.desired, "running");
    assert.equal((Deno.statSync(paths.state).mode ?? 0) & 0o777, 0o600);
    assert.equal((Deno.statSync(paths.folder).mode ?? 0) & 0o777, Deno.uid() === 0 ? 0o711 : 0o700);
  });
});

Deno.test("state.json: cut at every byte it is set aside and rebuilt, its first boot counts as done", async () => {
  await withMachine(async ({ paths, record }) => {
    await saveState(paths, { ...record, first_boot: { kind: "under_way", operation: "op-1" } });
    Deno.writeTextFileSync(paths.overlay, "disk");
    const whole = Deno.readFileSync(paths.state);
    for (let length = 0; length < whole.length - 1; length++) {
      Deno.writeFileSync(paths.state, whole.subarray(0, length));
      const loaded = await loadState(paths, {
        clock: fixedClock(length),
      });
      assert.ok(loaded !== undefined && loaded.rebuilt?.includes(".corrupt-"), `at byte ${length}`);
      assert.deepEqual(
        loaded.record.first_boot,
        { kind: "done", scripts: {} },
        `at byte ${length}`,
      );
      assert.equal(loaded.record.config_path, CONFIG);
      assert.equal(loaded.record.uuid, record.uuid);
      assert.equal((await readState(paths)).kind, "ok");
    }
    const aside = [...Deno.readDirSync(paths.folder)].filter((e) => e.name.includes(".corrupt-"));
    assert.equal(aside.length, whole.length - 1, "every corrupt record is kept");
  });
});

function fixedClock(n: number) {
  return {
    now: () => new Date(Date.UTC(2026, 0, 1) + n * 1000),
    monotonicMs: () => 0,
    sleep: () => Promise.resolve(),
  };
}

Deno.test("state.json: of a newer rum it is refused by name and left alone", async () => {
  await withMachine(async ({ paths, record }) => {
    const newer = JSON.stringify({ ...record, v: 99, rum_version: "7.0.0" });
    Deno.writeTextFileSync(paths.state, newer);
    await assert.rejects(
      loadState(paths),
      (e: RumError) => e.code === "state_newer" && e.message.includes("7.0.0"),
    );
    assert.equal(Deno.readTextFileSync(paths.state), newer);
  });
});

Deno.test("state.json: lost it is rebuilt from config_path; both lost is said, not guessed", async () => {
  await withMachine(async ({ paths, record }) => {
    assert.equal(await loadState(paths), undefined, "nothing made, nothing recorded");
    Deno.writeTextFileSync(paths.overlay, "disk");
    const loaded = await loadState(paths);
    assert.equal(loaded?.record.config_path, CONFIG);
    assert.equal(loaded?.record.adopted, true);
    await saveState(paths, record);
    Deno.removeSync(paths.configPath);
    assert.equal((await loadState(paths))?.record.name, "project");
    Deno.removeSync(paths.state);
    await assert.rejects(
      loadState(paths),
      (e: RumError) => e.code === "state_invalid" && e.hint === `rum adopt ${paths.id}`,
    );
  });
});

Deno.test({
  name: "state.json: corrupt while libvirt has given the disk to QEMU's user, it is rebuilt",
  ignore: Deno.uid() !== 0,
  fn: () =>
    withMachine(async ({ paths }) => {
      Deno.writeTextFileSync(paths.state, "{", { mode: 0o600 });
      Deno.writeTextFileSync(paths.overlay, "disk");
      Deno.chownSync(paths.overlay, 64055, 64055);
      assert.deepEqual((await loadState(paths))?.record.first_boot, { kind: "done", scripts: {} });
      // What is not given away by libvirt has to be ours.
      Deno.chownSync(paths.state, 64055, 64055);
      await assert.rejects(loadState(paths), (e: RumError) => e.code === "not_owner");
    }),
});

Deno.test("parseRecord: a first boot of an unknown kind counts as done, a migration runs step by step", () => {
  const record = newRecord({
    id: "0123abcd",
    uuid: identityOf(CONFIG).uuid,
    name: "m",
    hypervisorName: "rum-m-0123abcd",
    configPath: CONFIG,
    rumVersion: "0.1.0",
    now: "2026-01-01T00:00:00Z",
  });
  for (
    const first_boot of [{ kind: "from the future" }, null, 7, { kind: "under_way" }, undefined]
  ) {
    const parsed = parseRecord(JSON.stringify({ ...record, first_boot }));
    assert.ok(parsed.kind === "ok", JSON.stringify(first_boot));
    assert.deepEqual(parsed.record.first_boot, { kind: "done", scripts: {} });
  }
  const { desired: _, ...older } = record;
  const migrated = parseRecord(JSON.stringify({ ...older, v: 0 }), {
    0: (old) => ({ ...old, desired: "stopped" }),
  });
  assert.ok(migrated.kind === "ok" && migrated.record.desired === "stopped");
  assert.equal(parseRecord(JSON.stringify({ ...older, v: 0 })).kind, "corrupt");
});

Deno.test("machine folder: a planted link at every file name is never followed nor overwritten", async () => {
  await withMachine(async ({ rum, paths, record, home }) => {
    const victim = `${home}/victim`;
    Deno.writeTextFileSync(victim, "untouched");
    const daemon = await describeDaemon({
      version: "0.1.0",
      protocol: { min: 1, max: 1 },
      socket: paths.socket,
      startedAt: "now",
    });
    const uses: [string, () => Promise<unknown>][] = [
      [paths.state, () => readState(paths)],
      [paths.state, () => saveState(paths, record)],
      [paths.state, () => loadState(paths)],
      [paths.configPath, () => readConfigPath(paths)],
      [paths.configPath, () => bindConfigPath(paths, CONFIG)],
      [paths.token, () => firstToken(paths.token, { fresh: false })],
      [paths.daemonJson, () => writeDaemonRecord(paths, daemon)],
      [paths.daemonJson, () => readDaemonRecord(paths)],
      [paths.pid, () => writeDaemonRecord(paths, daemon)],
      [paths.logs, () => ensureMachineFolder(rum, paths)],
      [rum.locks, () => ensureMachineFolder(rum, paths)],
    ];
    for (const [path, use] of uses) {
      await Deno.remove(path, { recursive: true }).catch(() => {});
      Deno.symlinkSync(path === paths.logs || path === rum.locks ? home : victim, path);
      await assert.rejects(
        use(),
        (e: RumError) => e.code === "state_invalid" && e.message.includes("symbolic link"),
        path,
      );
      assert.ok(Deno.lstatSync(path).isSymlink, `${path} is still what was planted`);
      Deno.removeSync(path);
      await ensureMachineFolder(rum, paths);
      await bindConfigPath(paths, CONFIG);
    }
    assert.equal(Deno.readTextFileSync(victim), "untouched");
  });
});

Deno.test("machine folder: one that is a link, or somebody else's, is refused with a sentence", async () => {
  await withMachine(async ({ rum, paths, home }) => {
    Deno.removeSync(paths.folder, { recursive: true });
    Deno.symlinkSync(home, paths.folder);
    await assert.rejects(
      ensureMachineFolder(rum, paths),
      (e: RumError) => e.code === "state_invalid",
    );
    Deno.removeSync(paths.folder);
    if (Deno.uid() !== 0) return;
    Deno.mkdirSync(paths.folder, { mode: 0o777 });
    Deno.chownSync(paths.folder, 12345, 12345);
    await assert.rejects(
      ensureMachineFolder(rum, paths),
      (e: RumError) => e.code === "not_owner" && e.message.includes("uid 12345"),
    );
    assert.deepEqual([...Deno.readDirSync(paths.folder)], [], "nothing was put into it");
    // As with `sudo` and the caller's HOME: nothing is made below somebody else's folder.
    Deno.chownSync(home, 12345, 12345);
    Deno.removeSync(`${home}/data`, { recursive: true });
    await assert.rejects(
      ensureMachineFolder(rum, { ...paths }),
      (e: RumError) => e.code === "not_owner",
    ).finally(() => Deno.chownSync(home, 0, 0));
  });
});

Deno.test("bindConfigPath: a second project with the same id is refused", async () => {
  await withMachine(async ({ paths }) => {
    await assert.rejects(
      bindConfigPath(paths, "/elsewhere/rum.toml"),
      (e: RumError) => e.code === "machine_exists" && e.message.includes(CONFIG),
    );
    assert.equal(await readConfigPath(paths), CONFIG);
  });
});

Deno.test("removeMachineFolder: everything goes, the record last; kept drives keep the folder", async () => {
  await withMachine(async ({ rum, paths, record, home }) => {
    await saveState(paths, record);
    Deno.writeTextFileSync(`${home}/outside`, "stays");
    Deno.symlinkSync(`${home}/outside`, `${paths.folder}/link`);
    Deno.writeTextFileSync(paths.overlay, "disk");
    Deno.writeTextFileSync(paths.drive("data"), "precious");
    const keep = [paths.drive("data")];
    assert.deepEqual(await removeMachineFolder(rum, paths, { keep }), { left: "drives" });
    assert.equal(Deno.readTextFileSync(paths.drive("data")), "precious");
    assert.equal((await readState(paths)).kind, "ok");
    assert.throws(() => Deno.statSync(paths.overlay), Deno.errors.NotFound);
    assert.deepEqual(await removeMachineFolder(rum, paths), { left: "nothing" });
    assert.deepEqual(await removeMachineFolder(rum, paths), { left: "nothing" });
    assert.throws(() => Deno.statSync(paths.folder), Deno.errors.NotFound);
    assert.equal(Deno.readTextFileSync(`${home}/outside`), "stays");
  });
});

Deno.test("removeMachineFolder: what is written into the folder meanwhile goes with it", async () => {
  for (let round = 0; round < 5; round++) {
    await withMachine(async ({ rum, paths, record }) => {
      await saveState(paths, record);
      const begun = Promise.withResolvers<void>();
      const write = async (name: string) => {
        try {
          for (let n = 0; n < 3000; n++) {
            await Deno.writeTextFile(`${paths.folder}/${name}${n}`, "");
            if (n === 10) begun.resolve();
          }
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error;
        }
      };
      const writing = Promise.all([write("a"), write("b")]);
      await begun.promise;
      assert.deepEqual(await removeMachineFolder(rum, paths), { left: "nothing" });
      await writing;
      assert.throws(() => Deno.statSync(paths.folder), Deno.errors.NotFound);
    });
  }
});
