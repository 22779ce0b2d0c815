/**
 * The same as folders.ts in a real machine: the first copy, the delay until a watcher in the guest told
 * it back through `rum exec`, and both sides' processor time at a steady thousand files a second. Run by
 * hand, its figures are in docs/mounts.md.
 *
 *   deno run -A tests/bench/folders_guest.ts [files]
 */
import { until } from "../support/folder_bed.ts";
import { machineToml } from "../support/machine.ts";
import { sandbox } from "../support/rum.ts";
import { cpuMsOf, makeFiles, writeSteadily } from "./folder_writer.ts";

const FILES = Number(Deno.args[0] ?? 2000);
const PROBES = 40;
const SECONDS = 10;
const PER_SECOND = 1000;
const show = (what: string, value: string) => console.log(`${what.padEnd(44)} ${value}`);

await using box = await sandbox({ prefix: "rum-bench-" });
const host = `${box.project}/copy`;
await Deno.mkdir(host);
const mounts = `[[mounts]]
source = "./copy"
target = "/srv/copy"
type = "sync"
`;
await box.config(await machineToml({ name: "folders", toml: mounts }));
await box.ok(["up", "-d"], { timeoutMs: 900_000 });

const status = async () => (await box.ok(["status", "-o", "json"])).json;
const guest = async (script: string) => (await box.ok(["exec", script])).stdout;
const agentCpu = async () =>
  cpuMsOf(await guest("cat /proc/$(systemctl show -P MainPID rum-agent)/stat"));
const { daemon } = await status();
const daemonCpu = () => cpuMsOf(Deno.readTextFileSync(`/proc/${daemon.pid}/stat`));
const equal = () =>
  until(
    async () =>
      (await status()).mounts[0].state === "in_sync" &&
      Number(await guest("find /srv/copy -type f | wc -l")) >= FILES,
    () => "not in sync",
    600_000,
  );
{
  const began = performance.now();
  makeFiles(host, FILES);
  await equal();
  show(
    `${FILES} new files are in the guest`,
    `${((performance.now() - began) / 1000).toFixed(1)} s`,
  );
}
{
  const child = box.spawn([
    "exec",
    "--",
    "python3",
    "-uc",
    `import ctypes, os
libc = ctypes.CDLL(None)
fd = libc.inotify_init()
libc.inotify_add_watch(fd, b"/srv/copy", 8)
print("ready", flush=True)
while True:
    data = os.read(fd, 65536)
    print(data[16:].rstrip(bytes(1)).decode(), flush=True)`,
  ]);
  let text = "";
  const reading = (async () => {
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) text += part;
  })();
  await until(() => text.includes("ready"), () => text, 60_000);
  const delays: number[] = [];
  for (let i = 0; i < PROBES; i++) {
    const name = `probe${i}.`;
    const began = performance.now();
    Deno.writeTextFileSync(`${host}/${name}`, "1");
    while (!text.includes(name)) await new Promise((resolve) => setTimeout(resolve, 1));
    delays.push(performance.now() - began);
  }
  child.kill("SIGINT");
  await child.status;
  await child.stderr.cancel();
  await reading;
  delays.sort((a, b) => a - b);
  show("host write → told back by a watcher, median", `${delays[PROBES / 2].toFixed(0)} ms`);
  show("  best, worst", `${delays[0].toFixed(0)} ms, ${delays.at(-1)!.toFixed(0)} ms`);
}
{
  const [here, there] = [daemonCpu(), await agentCpu()];
  const began = performance.now();
  const seconds = await writeSteadily({
    host,
    files: FILES,
    perSecond: PER_SECOND,
    seconds: SECONDS,
  });
  await equal();
  const whole = (performance.now() - began) / 1000;
  show(
    "changed files a second",
    `${Math.round(SECONDS * PER_SECOND / seconds)} for ${seconds.toFixed(1)} s`,
  );
  show("  in sync after", `${(whole - seconds).toFixed(1)} s`);
  const share = (ms: number) => `${(ms / 10 / whole).toFixed(0)} %`;
  show(
    "  of one core daemon / agent (guest's clock)",
    `${share(daemonCpu() - here)} / ${share(await agentCpu() - there)}`,
  );
}
await box.rum(["destroy", "-y"]);
