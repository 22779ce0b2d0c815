/**
 * `rum ssh [ARGS…]`: OpenSSH with everything it needs to know of the machine in a configuration file,
 * so that each of the user's own flags wins over it. Arguments go to ssh after the host: it takes
 * options there too, and what follows them is the command.
 *
 * Exit codes are ssh's: the command's own, 255 for what failed before it.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { writeFileAtomic } from "../store/atomic.ts";
import { readOwnFile } from "../store/ownership.ts";
import { requireUnchanged } from "../store/trust_store.ts";
import { daemonClient } from "./daemon_client.ts";
import { verdictOf } from "./exec_run.ts";
import { sshClientConfig, sshHost } from "./ssh_block.ts";
import { sshRecord } from "./ssh_machine.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  try {
    return await connect(context, call.operands);
  } catch (thrown) {
    // Called off by --timeout: told by whoever called it off.
    if (isCalledOff(context)) throw thrown;
    const error = toRumError(thrown);
    const { exit, origin } = verdictOf(error);
    context.out.error(error, { exit, origin });
    return exit;
  }
}

async function connect(context: Context, args: readonly string[]): Promise<number> {
  const target = await targetOf(context);
  const { machine, ssh, folder } = await sshRecord(context, target);
  // A machine that is off is said here, in rum's words, and a dead daemon is replaced.
  await (await daemonClient(context, target)).close();
  if (ssh.command.includes("/")) {
    await requireUnchanged(ssh.command, ssh.commandFile, { folder, home: context.host.home });
  }
  const config = target.paths.sshClientConfig;
  const text = sshClientConfig(machine);
  if (await readOwnFile(config) !== text) await writeFileAtomic(config, text);
  const argv = ["-F", config, sshHost(machine.name), ...args];
  const child = spawn(ssh.command, argv);
  if (child === undefined) {
    if (ssh.command !== "ssh") throw noSuchProgram(ssh.command);
    const { sshWithoutOpenSsh } = await import("./ssh_builtin.ts");
    return await sshWithoutOpenSsh(context, target, machine, args);
  }
  // Ctrl+C reaches ssh by the terminal, and ssh decides; a TERM is for the two of us.
  const onTerm = () => end(child);
  const onAbort = () => {
    if (isCalledOff(context)) end(child);
  };
  Deno.addSignalListener("SIGTERM", onTerm);
  context.signal.addEventListener("abort", onAbort, { once: true });
  onAbort();
  try {
    const { code } = await child.status;
    return code;
  } finally {
    Deno.removeSignalListener("SIGTERM", onTerm);
    context.signal.removeEventListener("abort", onAbort);
  }
}

/** Ctrl+C is ssh's own matter, a time-out is not. */
function isCalledOff({ signal }: Context): boolean {
  return signal.aborted && toRumError(signal.reason).code === "timeout";
}

function spawn(command: string, args: readonly string[]): Deno.ChildProcess | undefined {
  try {
    return new Deno.Command(command, {
      args: [...args],
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new RumError(
      "host_prerequisite",
      `Cannot run "${command}": ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    );
  }
}

function end(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGTERM");
  } catch {
    // It ended first.
  }
}

function noSuchProgram(command: string): RumError {
  return new RumError(
    "host_prerequisite",
    `Cannot run ssh.command "${command}": it does not exist`,
    {
      hint: "rum config show",
    },
  );
}
