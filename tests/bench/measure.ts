/** Whole processes: how long they took and what of the processor they used. */
import assert from "node:assert/strict";

export interface Cost {
  readonly wallMs: number;
  /** Of the process and of every child it waited for. */
  readonly cpuMs: number;
}

export async function cost(
  command: readonly string[],
  options: { cwd?: string; env?: Readonly<Record<string, string>> } = {},
): Promise<Cost> {
  // The shell says what its children used; Deno does not.
  const begun = performance.now();
  const { stdout, stderr } = await new Deno.Command("bash", {
    args: [
      "-c",
      'TIMEFORMAT="%3U %3S"; { time "$@" >/dev/null 2>/dev/null; } 2>&1; exit 0',
      "bash",
      ...command,
    ],
    cwd: options.cwd,
    env: { ...options.env },
    stdin: "null",
  }).output();
  const wallMs = performance.now() - begun;
  const text = new TextDecoder();
  const [user, system] = text.decode(stdout).trim().split(" ").map(Number);
  assert.ok(user >= 0 && system >= 0, text.decode(stdout) + text.decode(stderr));
  return { wallMs, cpuMs: (user + system) * 1000 };
}

/** Processor time of a running process, in ms. */
export function cpuOf(pid: number): number {
  const fields = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ").at(-1)!.split(" ");
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

export function residentMiB(pid: number): number {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)![1]) / 1024;
}
