/**
 * What a `sync` folder costs: the delay from a host's write to the event in the guest, the processor
 * time of both sides at a steady thousand files a second, and the first copy. With a real agent
 * process on this host; run by hand, its figures are in docs/mounts.md.
 *
 *   deno run -A tests/bench/folders.ts [files]
 */
import { cpuMsOf, makeFiles, writeSteadily } from "./folder_writer.ts";
import { folderBed, until, watchGuest } from "../support/folder_bed.ts";

const FILES = Number(Deno.args[0] ?? 2000);
const PROBES = 100;
const SECONDS = 5;
const PER_SECOND = 1000;

const cpuMs = (pid: number | "self") => cpuMsOf(Deno.readTextFileSync(`/proc/${pid}/stat`));
const show = (what: string, value: string) => console.log(`${what.padEnd(44)} ${value}`);

await using bed = await folderBed();
const { host, guest, agent } = bed;
makeFiles(host, FILES);
await agent.session.ready({ timeoutMs: 30_000 });
{
  const [began, here, there] = [performance.now(), cpuMs("self"), cpuMs(agent.pid)];
  await bed.attach();
  const ms = performance.now() - began;
  show(`first copy of ${FILES} files`, `${Math.round(ms)} ms`);
  show("  processor time host / guest", `${cpuMs("self") - here} / ${cpuMs(agent.pid) - there} ms`);
  const again = performance.now();
  await bed.again();
  show("taken up again, nothing changed", `${Math.round(performance.now() - again)} ms`);
}
{
  await using watch = await watchGuest(guest);
  const delays: number[] = [];
  for (let i = 0; i < PROBES; i++) {
    const name = `probe${i}`;
    const began = performance.now();
    Deno.writeTextFileSync(`${host}/${name}`, "1");
    const line = `${name} CLOSE_WRITE,CLOSE`;
    while (!watch.lines.includes(line)) await new Promise((resolve) => setTimeout(resolve, 1));
    delays.push(performance.now() - began);
  }
  delays.sort((a, b) => a - b);
  show("host write → event in the guest, median", `${delays[PROBES / 2].toFixed(1)} ms`);
  show("  95 of 100 within", `${delays[Math.floor(PROBES * 0.95)].toFixed(1)} ms`);
}
{
  const [here, there] = [cpuMs("self"), cpuMs(agent.pid)];
  const began = performance.now();
  const seconds = await writeSteadily({
    host,
    files: FILES,
    perSecond: PER_SECOND,
    seconds: SECONDS,
  });
  const written = SECONDS * PER_SECOND;
  await until(() => bed.sync.status.state === "in_sync", () => "", 120_000);
  const caught = (performance.now() - began) / 1000 - seconds;
  show("changed files a second", `${Math.round(written / seconds)} for ${seconds.toFixed(1)} s`);
  show("  caught up after", `${caught.toFixed(2)} s`);
  const share = (ms: number) => `${(ms / 10 / (seconds + caught)).toFixed(0)} %`;
  show(
    "  of one core host / guest",
    `${share(cpuMs("self") - here)} / ${share(cpuMs(agent.pid) - there)}`,
  );
}
