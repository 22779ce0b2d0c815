/**
 * A machine's folder in a temporary place and real daemon processes of `test_daemon.ts` for it.
 * Disposing ends whatever still holds the lock, by the pid that this rig started.
 */
import type { MachinePaths } from "../../src/plan/paths.ts";
import { type DaemonClient } from "../../src/daemon/client.ts";
import { ensureDaemon, type EnsureOptions } from "../../src/daemon/launcher.ts";
import { livingHolder } from "../../src/daemon/probe.ts";
import { testPaths } from "./test_daemon.ts";

const MAIN = new URL("./test_daemon.ts", import.meta.url).pathname;

/**
 * A daemon is meant to outlive its launcher, and here the launcher is the test: so the child that is
 * still being waited for at the end of a test is no leak. The rig ends it.
 */
export function daemonTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, fn, sanitizeOps: false, sanitizeResources: false });
}

/** The test daemon's methods are not in the real table. */
export interface TestClient {
  request(method: string, params?: object, options?: object): Promise<unknown>;
  close(): Promise<void>;
  readonly ended: Promise<unknown>;
}

export function asTestClient(client: DaemonClient): TestClient {
  return client as unknown as TestClient;
}

export class DaemonRig implements AsyncDisposable {
  readonly data: string;
  readonly id = "deadbeef";
  readonly paths: MachinePaths;
  readonly notes: string[] = [];

  constructor() {
    this.data = Deno.makeTempDirSync({ prefix: "rum-rig-" });
    this.paths = testPaths(this.data, this.id);
  }

  command(...extra: string[]): string[] {
    return [Deno.execPath(), "run", "--quiet", "-A", MAIN, this.data, this.id, ...extra];
  }

  async ensure(options: Partial<EnsureOptions> = {}): Promise<TestClient> {
    return asTestClient(
      await ensureDaemon({
        id: this.id,
        paths: this.paths,
        env: Deno.env.toObject(),
        command: this.command(),
        note: (text) => this.notes.push(text),
        ...options,
      }),
    );
  }

  async pid(): Promise<number> {
    return Number(await Deno.readTextFile(this.paths.pid));
  }

  async files(): Promise<string[]> {
    const names: string[] = [];
    for await (const entry of Deno.readDir(this.paths.folder)) names.push(entry.name);
    return names.sort();
  }

  /** Resolves when nobody holds the lock any more. */
  async ended(): Promise<void> {
    for (let n = 0; await livingHolder(this.paths.lock) !== undefined; n++) {
      if (n > 1000) throw new Error("The daemon did not end within 20 s");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const holder = await livingHolder(this.paths.lock).catch(() => undefined);
    if (holder !== undefined && holder.pid !== Deno.pid) Deno.kill(holder.pid, "SIGKILL");
    await this.ended().catch(() => {});
    await Deno.remove(this.data, { recursive: true });
  }
}

/** `printf WORD | nc -U`, as docs/protocol.md shows it. */
export async function netcat(socket: string, input: string | Uint8Array): Promise<string> {
  const child = new Deno.Command("nc", {
    args: ["-U", "-w", "20", socket],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(typeof input === "string" ? new TextEncoder().encode(input) : input)
    .catch(() => {});
  await writer.close().catch(() => {});
  return new TextDecoder().decode((await child.output()).stdout);
}
