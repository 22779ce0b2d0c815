/**
 * What `status` and `list` cost, and an idle daemon: against an empty `deno run` of the same minute,
 * because figures drift between machines and hours. Run by hand: `deno run -A tests/bench/commands.ts`.
 */
import { fakeWorld } from "../support/fake_guest.ts";
import { rumCommand } from "../support/rum.ts";

const RUNS = 21;
const IDLE_S = 20;

/** By turns, so that what else the machine does meets all of them alike. */
async function medianMs(
  commands: readonly (readonly string[])[],
  options: Deno.CommandOptions,
): Promise<number[]> {
  const times = commands.map((): number[] => []);
  for (let n = 0; n < RUNS; n++) {
    for (const [i, argv] of commands.entries()) {
      const start = performance.now();
      await new Deno.Command(argv[0], {
        ...options,
        args: argv.slice(1),
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).output();
      times[i].push(performance.now() - start);
    }
  }
  return times.map((each) => each.sort((a, b) => a - b)[RUNS >> 1]);
}

async function usage(pid: number): Promise<{ ticks: number; rssMiB: number; pssMiB: number }> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const rollup = await Deno.readTextFile(`/proc/${pid}/smaps_rollup`);
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1]);
  return {
    ticks: Number(fields[11]) + Number(fields[12]),
    rssMiB: Math.round(kib("Rss") / 1024),
    pssMiB: Math.round(kib("Pss") / 1024),
  };
}

if (import.meta.main) {
  await using world = await fakeWorld({ prefix: "rum-bench-" });
  const { box } = world;
  const empty = `${box.home}/empty.ts`;
  await Deno.writeTextFile(empty, "");
  await world.ok(["up", "-d"]);
  const options = { cwd: box.project, env: box.env, clearEnv: true };
  const nothing = [Deno.execPath(), "run", "--quiet", empty];
  const rows: [string, string][] = [];
  const ms = (value: number) => `${Math.round(value)} ms`;

  const [bare, status, one] = await medianMs(
    [nothing, [...rumCommand(), "status"], [...rumCommand(), "list"]],
    options,
  );
  rows.push(["an empty deno run", ms(bare)]);
  rows.push(["status, asked of the daemon", ms(status)]);
  rows.push(["list, 1 machine", ms(one)]);
  const state = await Deno.readTextFile(world.paths.state);
  for (let n = 1; n < 100; n++) {
    const id = n.toString(16).padStart(8, "0");
    const folder = `${box.dataFolder}/${id}`;
    await Deno.mkdir(folder, { mode: 0o700 });
    const path = `${folder}/state.json`;
    await Deno.writeTextFile(path, state.replaceAll(world.id, id), { mode: 0o600 });
  }
  const [again, hundred] = await medianMs([nothing, [...rumCommand(), "list"]], options);
  rows.push(["list, 100 machines", `${ms(hundred)} (an empty run then: ${ms(again)})`]);
  for (let n = 1; n < 100; n++) {
    await Deno.remove(`${box.dataFolder}/${n.toString(16).padStart(8, "0")}`, { recursive: true });
  }

  const daemon = (await world.holder())!;
  const before = await usage(daemon);
  await new Promise((resolve) => setTimeout(resolve, IDLE_S * 1000));
  const after = await usage(daemon);
  rows.push([`idle daemon, resident`, `${after.rssMiB} MiB (proportional ${after.pssMiB} MiB)`]);
  const share = (after.ticks - before.ticks) / (IDLE_S * 100);
  rows.push([`idle daemon, CPU over ${IDLE_S} s`, `${(share * 100).toFixed(2)} % of a core`]);

  console.log("| what | median |\n|---|---|");
  for (const [what, value] of rows) console.log(`| ${what} | ${value} |`);
}
