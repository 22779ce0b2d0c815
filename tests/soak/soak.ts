/**
 * `deno task soak [--minutes 60] [--seed N]`: one real guest, random work from several hands at once,
 * each byte checked. In the first half daemon, agent and guest are killed at random (the storm); in the
 * second one daemon and one agent live through the same work (the calm), so that their memory can be
 * compared at idle points of one life. Exit 1 on a lost byte, an orphan, a hang, an error that no kill
 * explains, or growth. RUM_TEST_BINARY names a built file; else dist/rum serves when it is there.
 */
import { Bed, type Disturbance } from "./bed.ts";
import { judge, report } from "./report.ts";
import { type Random, seeded } from "../support/seeded.ts";
import { Tally } from "./tally.ts";
import { idlePoint, type Sample } from "./watch.ts";
import { MIX, type Work, works } from "./work.ts";
import { numberAfter } from "../support/number_after.ts";

const HANDS = 3;
const BETWEEN_MS = 200;
const CALM_WORK_MS = 45_000;
/**
 * A runtime's heap grows for some ten minutes of work before it is level (seen: 66 to 92 MiB, then flat);
 * this part of the calm is left out.
 */
const WARM_UP = 1 / 3;
const HOW: readonly Disturbance[] = [
  "daemon",
  "daemon",
  "daemon",
  "agent",
  "agent",
  "agent",
  "both",
  "both",
  "reboot",
];

async function main(args: readonly string[]): Promise<number> {
  const minutes = numberAfter(args, "--minutes") ?? 60;
  const seed = numberAfter(args, "--seed") ?? Date.now() % 2 ** 31;
  await useBuiltFile();
  console.log(
    `soak: ${minutes} minutes, --seed ${seed}, ${Deno.env.get("RUM_TEST_BINARY") ?? "from source"}`,
  );
  const random = seeded(seed);
  const tally = new Tally();
  await using bed = await Bed.up(tally);
  const crew = new Crew(bed, random.fork());
  const begun = performance.now();
  const until = (share: number) => begun + share * minutes * 60_000;
  const storm: Sample[] = [];
  const calm: Sample[] = [];
  let round = 0;

  while (performance.now() < until(0.5)) {
    crew.work();
    await pause(random.size(1000, 25_000));
    await bed.disturb(random.pick(HOW));
    await pause(random.size(1000, 10_000));
    if (++round % 3 === 0) storm.push(...await rest(crew, bed, { calm: false }));
  }
  await rest(crew, bed, { calm: false });
  while (performance.now() < until(1)) {
    crew.work();
    await pause(CALM_WORK_MS);
    const samples = await rest(crew, bed, { calm: true });
    if (performance.now() > until(0.5 + 0.5 * WARM_UP)) calm.push(...samples);
  }
  judge(tally, calm);
  console.log(report(tally, storm, calm).join("\n"));
  console.log(tally.faults.length === 0 ? "\npassed" : `\nFAILED\n${tally.faults.join("\n")}`);
  console.log(`seed ${seed}, ${((performance.now() - begun) / 60_000).toFixed(1)} minutes`);
  return tally.faults.length === 0 ? 0 : 1;
}

/** The hands that work, and their pauses. */
class Crew {
  #working: Promise<void>[] = [];
  #stop = false;
  readonly #works: Readonly<Record<string, Work>>;

  constructor(readonly bed: Bed, readonly random: Random) {
    this.#works = works(bed);
  }

  work(): void {
    if (this.#working.length > 0) return;
    this.#stop = false;
    this.#working = Array.from({ length: HANDS }, () => this.#hand(this.random.fork()));
  }

  async pause(): Promise<void> {
    this.#stop = true;
    await Promise.all(this.#working);
    this.#working = [];
  }

  async #hand(random: Random): Promise<void> {
    while (!this.#stop) {
      const work = random.pick(MIX);
      const since = this.bed.now;
      const sinceWall = Date.now();
      try {
        await this.#works[work](random);
        this.bed.tally.did(work);
      } catch (thrown) {
        const disturbed = this.bed.disturbed(since) || await this.bed.silent(sinceWall);
        this.bed.tally.failed(work, thrown, disturbed);
      }
      await pause(random.int(BETWEEN_MS));
    }
  }
}

async function rest(crew: Crew, bed: Bed, how: { readonly calm: boolean }): Promise<Sample[]> {
  await crew.pause();
  try {
    const sample = await idlePoint(bed, how);
    if (sample === undefined) return [];
    const { daemon, agent } = sample;
    const mib = (kib: number) => (kib / 1024).toFixed(1);
    console.log(
      `${new Date().toISOString().slice(11, 19)} idle: daemon ${sample.daemonPid} ${
        mib(daemon.anon)
      } MiB, ` +
        `${daemon.fds} fds, ${daemon.threads} threads; agent ${sample.agentPid} ${
          mib(agent.anon)
        } MiB, ` +
        `${agent.fds} fds, ${agent.threads} threads; ${bed.tally.faults.length} faults`,
    );
    return [sample];
  } catch (thrown) {
    bed.tally.failed("idle point", thrown, false);
    return [];
  }
}

async function useBuiltFile(): Promise<void> {
  const built = new URL("../../dist/rum", import.meta.url).pathname;
  if (Deno.env.get("RUM_TEST_BINARY") !== undefined) return;
  if (await Deno.stat(built).then(() => true, () => false)) Deno.env.set("RUM_TEST_BINARY", built);
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

if (import.meta.main) Deno.exit(await main(Deno.args));
