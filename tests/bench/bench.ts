/**
 * `deno task bench`: what rum costs, always against a peer measured in the same run, turn by turn.
 * One table in Markdown on stdout, the same as JSON with --json FILE. Nothing here passes or fails.
 *
 *   --only ID[,ID…]   help, version, status, list, config, boot, idle, exec, link, cp, forwards
 *   --pairs N         boots and rests (default 2); commands take five times, ways twice as many
 *   --json FILE       everything that was measured
 *
 * RUM_TEST_BINARY names a built file; without it the checkout is measured.
 */
import { bootRows, commandRows, machineRows, type Wanted } from "./rows.ts";
import { type Row, summary, table } from "./table.ts";

const COMMANDS = ["help", "version", "status", "list", "config"];
const MACHINE = ["idle", "exec", "link", "cp", "forwards"];
const ALL = [...COMMANDS, "boot", ...MACHINE];

async function main(args: readonly string[]): Promise<number> {
  const value = (name: string) => args.includes(name) ? args[args.indexOf(name) + 1] : undefined;
  const only = value("--only")?.split(",") ?? ALL;
  const pairs = Number(value("--pairs") ?? 2);
  const unknown = only.filter((id) => !ALL.includes(id));
  if (unknown.length > 0 || !(pairs >= 1)) {
    console.error(`wanted --only of ${ALL.join(", ")} and --pairs of at least 1`);
    return 2;
  }
  const wanted: Wanted = {
    pairs,
    wants: (id) => only.includes(id),
    say: (line) => console.error(line),
  };
  const load = Deno.loadavg()[0].toFixed(1);
  const rows: Row[] = [];
  let failed = 0;
  for (
    const [ids, measure] of [
      [COMMANDS, commandRows],
      [["boot"], bootRows],
      [MACHINE, machineRows],
    ] as const
  ) {
    if (!ids.some(wanted.wants)) continue;
    try {
      rows.push(...await measure(wanted));
    } catch (error) {
      // What was measured is worth more than a tidy end.
      failed++;
      const { suppressed = error } = error as { suppressed?: unknown };
      console.error(`not measured: ${ids.join(", ")}: ${suppressed}`);
    }
  }
  const summaries = rows.map(summary);
  const what = Deno.env.get("RUM_TEST_BINARY") ?? "this checkout";
  const host = `${navigator.hardwareConcurrency} processors, load ${load} before and ` +
    `${Deno.loadavg()[0].toFixed(1)} after`;
  console.log(`${new Date().toISOString().slice(0, 10)}, ${what}, ${host}\n\n${table(summaries)}`);
  const file = value("--json");
  if (file !== undefined) {
    await Deno.writeTextFile(file, JSON.stringify({ v: 1, host, what, rows: summaries }, null, 1));
  }
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
