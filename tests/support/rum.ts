/**
 * rum as its users run it: a process with its own home, no terminal, everything it printed kept.
 *
 * RUM_TEST_BINARY names a built file (dist/rum); without it the checkout's main.ts runs. Each
 * sandbox has its own data folder; the cache is shared between runs as an accelerator only, and can
 * be thrown away at any time.
 */
import assert from "node:assert/strict";
import { published } from "./published.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly bytes: Uint8Array;
  /** The one JSON document on stdout. */
  // deno-lint-ignore no-explicit-any -- tests read documents of every shape
  readonly json: any;
  // deno-lint-ignore no-explicit-any -- as above
  readonly error: any;
}

export interface RunOptions {
  readonly stdin?: string | Uint8Array;
  readonly env?: Record<string, string>;
  readonly cwd?: string;
  readonly timeoutMs?: number;
}

export interface Sandbox extends AsyncDisposable {
  readonly home: string;
  readonly project: string;
  readonly dataFolder: string;
  readonly env: Readonly<Record<string, string>>;
  config(toml: string, name?: string): Promise<string>;
  rum(args: readonly string[], options?: RunOptions): Promise<Result>;
  /** As `rum`, and it must exit 0. */
  ok(args: readonly string[], options?: RunOptions): Promise<Result>;
  spawn(args: readonly string[], options?: RunOptions): Deno.ChildProcess;
}

export function rumCommand(): readonly string[] {
  const binary = Deno.env.get("RUM_TEST_BINARY");
  return binary !== undefined
    ? [binary]
    : [Deno.execPath(), "run", "--quiet", "--allow-all", `${ROOT}main.ts`];
}

/**
 * Shared between test runs; safe to delete. Root's stands where the system hypervisor's own user can
 * reach the images in it.
 */
export function sharedCache(): string {
  const home = Deno.env.get("HOME") ?? "/tmp";
  const own = Deno.uid() === 0 ? "/var/cache" : Deno.env.get("XDG_CACHE_HOME") ?? `${home}/.cache`;
  const base = Deno.env.get("RUM_TEST_CACHE") ?? `${own}/rum-test`;
  Deno.mkdirSync(base, { recursive: true });
  return base;
}

export interface SandboxOptions {
  readonly prefix?: string;
  /** Use this folder, which may exist, and leave it (and its machines) alone at the end. */
  readonly shared?: string;
}

export async function sandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const home = options.shared ?? await Deno.makeTempDir({ prefix: options.prefix ?? "rum-t-" });
  await Deno.mkdir(home, { recursive: true });
  // libvirt's own user may have to traverse it where the system daemon is used.
  await Deno.chmod(home, 0o711);
  const project = `${home}/project`;
  await Deno.mkdir(project, { recursive: true });
  await Deno.mkdir(`${home}/data`, { recursive: true, mode: 0o711 });
  const env: Record<string, string> = {
    PATH: Deno.env.get("PATH") ?? "/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: home,
    XDG_DATA_HOME: `${home}/data`,
    XDG_CACHE_HOME: sharedCache(),
    LC_ALL: "C.UTF-8",
    NO_COLOR: "1",
  };
  const deno = Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`;
  env.DENO_DIR = deno;
  const self: Sandbox = {
    home,
    project,
    env,
    dataFolder: `${home}/data/rum`,
    async config(toml, name = "rum.toml") {
      await Deno.writeTextFile(`${project}/${name}`, toml);
      return `${project}/${name}`;
    },
    spawn(args, run = {}) {
      const [command, ...prefix] = rumCommand();
      return new Deno.Command(command, {
        args: [...prefix, ...args],
        cwd: run.cwd ?? project,
        env: { ...env, ...run.env },
        clearEnv: true,
        stdin: run.stdin === undefined ? "null" : "piped",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
    },
    async rum(args, run = {}) {
      const child = self.spawn(args, run);
      let timedOut = false;
      const timer = setTimeout(() => {
        timedOut = true;
        child.kill("SIGKILL");
      }, run.timeoutMs ?? 180_000);
      try {
        const feed = run.stdin === undefined ? undefined : feedStdin(child, run.stdin);
        const { code, stdout, stderr } = await child.output();
        await feed;
        const result = resultOf(code, stdout, stderr);
        assert.ok(
          !timedOut,
          `rum ${args.join(" ")} did not end within its time; stderr: ${result.stderr}`,
        );
        return result;
      } finally {
        clearTimeout(timer);
      }
    },
    async ok(args, run) {
      const result = await self.rum(args, run);
      assert.equal(
        result.code,
        0,
        `rum ${args.join(" ")} exited with ${result.code}\n${result.stdout}\n${result.stderr}`,
      );
      return result;
    },
    async [Symbol.asyncDispose]() {
      if (options.shared !== undefined) return;
      await stopEverything(self);
      await removeWhole(home);
    },
  };
  return self;
}

/**
 * A process that is just ending may put a last line into a folder that is being removed; that must
 * not fail a test that passed, nor hide why another one failed.
 */
export async function removeWhole(folder: string): Promise<void> {
  for (const end = performance.now() + 10_000;;) {
    try {
      return await Deno.remove(folder, { recursive: true });
    } catch (error) {
      if (performance.now() > end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Machines that a failed test left behind must not outlive it. */
export async function stopEverything(box: Sandbox): Promise<void> {
  const ids: string[] = [];
  try {
    for await (const entry of Deno.readDir(box.dataFolder)) {
      if (entry.isDirectory && /^[0-9a-f]{8}$/.test(entry.name)) ids.push(entry.name);
    }
  } catch {
    return;
  }
  for (const id of ids) {
    await box.rum(["-m", id, "destroy", "-y"], { timeoutMs: 180_000 }).catch(() => {});
  }
}

async function feedStdin(child: Deno.ChildProcess, input: string | Uint8Array): Promise<void> {
  const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
  const writer = child.stdin.getWriter();
  try {
    await writer.write(bytes);
    await writer.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

function resultOf(code: number, out: Uint8Array, err: Uint8Array): Result {
  const decoder = new TextDecoder();
  const stdout = decoder.decode(out);
  const stderr = decoder.decode(err);
  return {
    code,
    stdout,
    stderr,
    bytes: out,
    get json() {
      return published(JSON.parse(stdout));
    },
    get error() {
      return published(JSON.parse(stderr.trim().split("\n").at(-1) ?? ""));
    },
  };
}
