/**
 * Host folders in a real guest: a copy, and a virtiofs share where this host can, with watchers in
 * the guest; then a killed daemon, a mount that comes and goes, and a rebooted guest.
 */
import assert from "node:assert/strict";
import { until } from "../support/folder_bed.ts";
import { installPackages, saveAsEditorsDo, switchBranches } from "../support/folder_work.ts";
import { machineToml } from "../support/machine.ts";
import { type Sandbox, sandbox } from "../support/rum.ts";

const FULL = Deno.env.get("FULL") === "1";

/** Prints `EVENT path` for what happens in the folders it is given; in the guest's own Python. */
const WATCHER = `
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
names = {2: "MODIFY", 8: "CLOSE_WRITE", 64: "MOVED_FROM", 128: "MOVED_TO", 256: "CREATE", 512: "DELETE"}
folders = {}
def add(folder):
    folders[libc.inotify_add_watch(fd, folder.encode(), sum(names))] = folder
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False): add(entry.path)
for folder in sys.argv[1:]: add(folder)
print("ready", flush=True)
while True:
    data = os.read(fd, 65536)
    at = 0
    while at < len(data):
        watch, mask, _, length = struct.unpack_from("iIII", data, at)
        name = data[at + 16:at + 16 + length].rstrip(b"\\0").decode()
        at += 16 + length
        for bit, word in names.items():
            if mask & bit: print(word, folders[watch] + ("/" + name if name else ""), flush=True)
        if mask & 0x40000000 and mask & 256: add(folders[watch] + "/" + name)
`;

interface MountRow {
  readonly target: string;
  readonly type: string;
  readonly state: string;
  readonly trouble: readonly string[];
}

async function mountsOf(box: Sandbox): Promise<MountRow[]> {
  return (await box.ok(["status", "-o", "json"])).json.mounts;
}

async function inSync(box: Sandbox): Promise<void> {
  let rows: MountRow[] = [];
  await until(
    async () => {
      rows = await mountsOf(box);
      return rows.every((row) => ["in_sync", "mounted"].includes(row.state));
    },
    () => JSON.stringify(rows),
    300_000,
  );
}

/** One text for what is in a folder: names, types, modes, content. */
const FINGERPRINT = `find . -mindepth 1 -printf '%P %y %m %l\\0' | sort -z | sha256sum;
  find . -type f -print0 | sort -z | xargs -0 cat | sha256sum`;

async function fingerprint(folder: string): Promise<string> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", FINGERPRINT], cwd: folder })
    .output();
  return new TextDecoder().decode(stdout);
}

Deno.test("host folders in a guest: copied, shared, watched, and back after every break", async (t) => {
  await using box = await sandbox({ prefix: "rum-mounts-" });
  const mounts = `[[mounts]]
source = "./copy"
target = "/srv/copy"
type = "sync"
default = true

[[mounts]]
source = "./share"
target = "/srv/share"
inotify = true

[provision.system]
script = "cp /srv/copy/first /root/seen"
`;
  const toml = await machineToml({ name: "mounts", toml: mounts });
  await box.config(toml);
  const copy = `${box.project}/copy`;
  const share = `${box.project}/share`;
  await Deno.mkdir(`${copy}/deep/er`, { recursive: true });
  await Deno.mkdir(share);
  await Deno.writeTextFile(`${copy}/first`, "there before the scripts\n");
  await Deno.writeTextFile(`${copy}/deep/er/a b\nc`, "odd");
  await Deno.symlink("deep/er", `${copy}/link`);
  for (let i = 0; i < 300; i++) await Deno.writeTextFile(`${copy}/deep/f${i}`, `${i}`);
  await Deno.writeTextFile(`${share}/first`, "shared");
  const equal = () =>
    until(
      async () =>
        (await box.ok(["exec", "-w", "/srv/copy", "--", "sh", "-c", FINGERPRINT])).stdout ===
          await fingerprint(copy),
      () => "the copy differs",
      600_000,
    );
  await box.ok(["up", "-d"], { timeoutMs: 900_000 });

  await t.step("the copy was complete before the scripts, and both sides are equal", async () => {
    assert.equal(
      (await box.ok(["exec", "cat /root/seen"])).stdout,
      "there before the scripts\n",
    );
    await equal();
    const owner = await box.ok(["exec", "stat -c %U /srv/copy /srv/copy/deep/f1 | sort -u"]);
    assert.equal(owner.stdout, "rum\n");
  });

  await t.step("watchers in the guest see what happens on the host", async () => {
    await box.ok(["exec", "-i", "--", "sh", "-c", "cat > /root/watch.py"], { stdin: WATCHER });
    const shared = (await mountsOf(box)).find((row) => row.target === "/srv/share")!;
    const child = box.spawn([
      "exec",
      "--",
      "python3",
      "/root/watch.py",
      "/srv/copy",
      "/srv/share",
    ]);
    let text = "";
    const reading = (async () => {
      for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) text += part;
    })();
    const saw = (line: string) => until(() => text.split("\n").includes(line), () => text);
    try {
      await saw("ready");
      for (const [folder, at] of [[copy, "/srv/copy"], [share, "/srv/share"]]) {
        const exact = at === "/srv/copy" || shared.type === "sync";
        await Deno.writeTextFile(`${folder}/made`, "1");
        await saw(`${exact ? "CREATE" : "MODIFY"} ${at}/made`);
        await Deno.writeTextFile(`${folder}/first`, "changed on the host");
        await saw(`MODIFY ${at}/first`);
        await Deno.writeTextFile(`${folder}/saved`, "1");
        await saw(`${exact ? "CREATE" : "MODIFY"} ${at}/saved`);
        const replaced = `${exact ? "MOVED_TO" : "MODIFY"} ${at}/saved`;
        text = text.replaceAll(replaced, "");
        await saveAsEditorsDo(`${folder}/saved`, "changed on the host");
        await saw(replaced);
        await Deno.rename(`${folder}/made`, `${folder}/renamed`);
        await saw(`${exact ? "MOVED_TO" : "MODIFY"} ${at}/renamed`);
        const gone = exact ? `DELETE ${at}/renamed` : `MODIFY ${at}`;
        text = text.replaceAll(gone, "");
        await Deno.remove(`${folder}/renamed`);
        await saw(gone);
        await Deno.mkdir(`${folder}/new`);
        await saw(`${exact ? "CREATE" : "MODIFY"} ${at}/new`);
      }
    } finally {
      child.kill("SIGINT");
      await child.status;
      await child.stderr.cancel();
      await reading;
    }
    assert.equal(await Deno.readTextFile(`${share}/first`), "changed on the host");
  });

  await t.step("a branch is switched, packages are installed and removed", async () => {
    await Deno.mkdir(`${copy}/work`);
    const work = { host: `${copy}/work`, equal };
    await switchBranches({ ...work, files: FULL ? 2_000 : 200 });
    await installPackages({ ...work, packages: FULL ? 600 : 30 });
    await Deno.remove(`${copy}/work`, { recursive: true });
    await equal();
    assert.deepEqual((await mountsOf(box)).flatMap((row) => row.trouble), []);
  });

  await t.step("what both sides changed is reported, and neither is lost", async () => {
    await box.ok(["exec", "echo guest > /srv/copy/first"]);
    await Deno.writeTextFile(`${copy}/first`, "host");
    let rows: MountRow[] = [];
    await until(async () => {
      rows = await mountsOf(box);
      return rows[0].state === "degraded";
    }, () => JSON.stringify(rows));
    assert.match(rows[0].trouble[0], /first: changed in the guest too/);
    assert.equal((await box.ok(["exec", "cat /srv/copy/first"])).stdout, "guest\n");
    await box.ok(["cp", ":/srv/copy/first", `${copy}/first`]);
    await inSync(box);
    await equal();
  });

  await t.step(
    "the daemon is killed: what changes meanwhile arrives with the next one",
    async () => {
      const { json } = await box.ok(["status", "-o", "json"]);
      Deno.kill(json.daemon.pid, "SIGKILL");
      await Deno.writeTextFile(`${copy}/while dead`, "1");
      await Deno.remove(`${copy}/deep/f1`);
      await box.ok(["exec", "true"]);
      await equal();
    },
  );

  await t.step("a copy comes and goes on the running machine", async () => {
    await Deno.mkdir(`${box.project}/live`);
    await Deno.writeTextFile(`${box.project}/live/file`, "live");
    await box.config(`${toml}
[[mounts]]
source = "./live"
target = "/srv/live"
type = "sync"
`);
    await box.ok(["up", "-d"]);
    assert.equal((await box.ok(["exec", "cat /srv/live/file"])).stdout, "live");
    await box.config(toml);
    await box.ok(["up", "-d"]);
    assert.equal((await mountsOf(box)).length, 2);
  });

  await t.step("the guest reboots: mounts are back, what changed meanwhile arrives", async () => {
    const boot = (await box.ok(["exec", "cat /proc/sys/kernel/random/boot_id"])).stdout;
    await box.rum(["exec", "systemctl reboot"]);
    await Deno.writeTextFile(`${copy}/while rebooting`, "1");
    const booted = async () => {
      const now = await box.rum(["exec", "cat /proc/sys/kernel/random/boot_id"]);
      return now.code === 0 && now.stdout !== boot;
    };
    await until(booted, () => "the guest did not come back", 400_000);
    // Whoever asks is answered before the daemon has mounted anything.
    await box.ok(["wait", "--for", "ready", "--timeout", "170s"]);
    await inSync(box);
    await equal();
    assert.equal((await box.ok(["exec", "cat /srv/share/first"])).stdout, "changed on the host");
  });
});
