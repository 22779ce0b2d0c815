/** A process that changes files of a folder at a steady pace; its processor time is not the bridge's. */
export interface Pace {
  readonly host: string;
  /** `d<n % 40>/f<n>` for n below this. */
  readonly files: number;
  readonly perSecond: number;
  readonly seconds: number;
}

/** Resolves with the seconds that it took, which are more where the host is too slow for the pace. */
export async function writeSteadily(
  { host, files, perSecond, seconds }: Pace,
): Promise<number> {
  const began = performance.now();
  const { success } = await new Deno.Command(Deno.execPath(), {
    args: [
      "eval",
      // Paced by the clock, not by its timers: a busy machine must not make it easier.
      `const began = performance.now();
       for (let n = 0; n < ${seconds * perSecond};) {
         const due = (performance.now() - began) / 1000 * ${perSecond};
         for (; n < due; n++) {
           Deno.writeTextFileSync("${host}/d" + n % 40 + "/f" + n % ${files}, "write " + n);
         }
         await new Promise((resolve) => setTimeout(resolve, 5));
       }`,
    ],
  }).spawn().status;
  if (!success) throw new Error("The writer failed");
  return (performance.now() - began) / 1000;
}

export function makeFiles(host: string, files: number): void {
  for (let i = 0; i < files; i++) {
    if (i < 40) Deno.mkdirSync(`${host}/d${i}`, { recursive: true });
    Deno.writeTextFileSync(`${host}/d${i % 40}/f${i}`, `${i}\n`.repeat(i % 200));
  }
}

/** Processor time so far, from `/proc/PID/stat`. */
export function cpuMsOf(stat: string): number {
  const fields = stat.split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
