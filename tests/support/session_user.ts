/**
 * An ordinary user for tests of the per-user session, made when missing and removed at the end with
 * everything that runs as it. Needs root.
 */
export interface SessionUser extends AsyncDisposable {
  readonly name: string;
  readonly home: string;
  readonly env: Record<string, string>;
  /** The command line that runs `program` as this user. */
  command(program: string): string[];
}

export async function makeSessionUser(): Promise<SessionUser> {
  const name = `rumtest${Deno.pid % 100_000}`;
  const home = `/home/${name}`;
  await run("useradd", "--create-home", "--home-dir", home, "--shell", "/bin/sh", name);
  const uid = (await run("id", "-u", name)).trim();
  const runtime = `/tmp/${name}-run`;
  await Deno.mkdir(runtime, { mode: 0o700 });
  await Deno.chown(runtime, Number(uid), Number(uid));
  return {
    name,
    home,
    env: {
      HOME: home,
      USER: name,
      PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin",
      XDG_RUNTIME_DIR: runtime,
      DENO_DIR: `${home}/.deno`,
      DENO_NO_UPDATE_CHECK: "1",
    },
    command: (program) => [
      "setpriv",
      `--reuid=${uid}`,
      `--regid=${uid}`,
      "--clear-groups",
      "--",
      program,
    ],
    async [Symbol.asyncDispose]() {
      // Its own libvirtd and whatever it started; no one else has this uid.
      await endProcessesOf(Number(uid));
      await run("userdel", "--remove", name);
      await Deno.remove(runtime, { recursive: true });
    },
  };
}

async function endProcessesOf(uid: number): Promise<void> {
  // A killed QEMU gives its memory back first, which takes a busy host its time.
  for (const end = performance.now() + 30_000; performance.now() < end;) {
    const pids = [...Deno.readDirSync("/proc")].map((entry) => Number(entry.name))
      .filter((pid) => pid > 0 && ownerOf(pid) === uid);
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`Processes of uid ${uid} do not end`);
}

function ownerOf(pid: number): number | undefined {
  try {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    if (/^State:\s+Z/m.test(status)) return undefined;
    return Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]);
  } catch {
    return undefined;
  }
}

async function run(command: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args, stdin: "null" })
    .output();
  const text = new TextDecoder();
  if (!success) throw new Error(`${command} ${args.join(" ")}: ${text.decode(stderr)}`);
  return text.decode(stdout);
}
