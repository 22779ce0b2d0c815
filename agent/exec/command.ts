/**
 * From a request to what the kernel is given: whose program it is, its environment, its folder, its
 * words. argv is never joined or split. Another user is taken on by util-linux's setpriv, which
 * execs in place (same pid, no PAM session lingering) and knows supplementary groups, which
 * Deno.Command's uid does not.
 */
import { RumError } from "../../src/base/errors.ts";
import type { ExecParams } from "../../src/protocol/agent.ts";
import { type Account, accountOf } from "../accounts.ts";
import { readText } from "../facts.ts";

export interface Command {
  /** What is exec'ed first: the program, or setpriv before it. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly account: Account;
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** @throws {RumError} `exec_failed` with `data.code` 127 or 126, as a shell would answer */
export async function resolveCommand(params: ExecParams, root = ""): Promise<Command> {
  // Side by side: under emulation each of these waits costs a millisecond and more.
  const [account, environment] = await Promise.all([
    accountOf(params.user ?? "root", root),
    readText(`${root}/etc/environment`),
  ]);
  if (account === undefined) {
    throw new RumError("exec_failed", `The guest has no user "${params.user}"`, {
      data: { code: 126 },
    });
  }
  const env: Record<string, string> = {
    PATH: DEFAULT_PATH,
    LANG: "C.UTF-8",
    ...environmentFile(environment),
    HOME: account.home,
    USER: account.name,
    LOGNAME: account.name,
    SHELL: account.shell,
    ...(params.pty === undefined ? {} : { TERM: params.pty.term ?? "xterm-256color" }),
    ...params.env,
  };
  const argv = params.login && params.argv.length === 0 ? [account.shell, "-l"] : params.argv;
  if (argv.length === 0) throw new RumError("exec_failed", "There is no command to run");
  const folder = folderOf(params.cwd, account);
  // Only a path from the folder hangs on which one it is.
  const from = /^[^/]+\//.test(argv[0]) ? await folder : wantedFolder(params.cwd, account);
  const program = findProgram(argv[0], env.PATH, from);
  program.catch(() => {});
  const cwd = await folder;
  await program;
  return { ...await become(account, argv, env), cwd, account };
}

/** What the loader and the C library of every program read code from. */
const LOADED_FROM = /^(LD_|GCONV_PATH$)/;
const helpers = new Map<string, string>();

/**
 * A command made to run as `account`; as it is when we are that user already. Whatever runs before
 * the switch runs as root (a shell, setsid, setpriv), so nothing of the command's own decides what
 * code that is, or whoever may write to a folder named there would be root: setpriv is not looked up
 * in its PATH, and what would have libraries loaded is handed over by env(1) after the switch.
 */
async function become(
  account: Account,
  argv: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Pick<Command, "argv" | "env">> {
  if (account.uid === Deno.uid()) return { argv, env };
  const held = Object.entries(env).filter(([key]) => LOADED_FROM.test(key));
  const handOver = held.length === 0
    ? []
    : [await ours("env"), ...held.map(([key, value]) => `${key}=${value}`)];
  const switchUser = [
    await ours("setpriv"),
    `--reuid=${account.uid}`,
    `--regid=${account.gid}`,
    "--init-groups",
    "--inh-caps=-all",
    "--",
  ];
  return {
    argv: [...switchUser, ...handOver, ...argv],
    env: Object.fromEntries(Object.entries(env).filter(([key]) => !LOADED_FROM.test(key))),
  };
}

async function ours(program: string): Promise<string> {
  const path = helpers.get(program) ?? await findProgram(program, DEFAULT_PATH, "/");
  helpers.set(program, path);
  return path;
}

async function folderOf(wanted: string | undefined, account: Account): Promise<string> {
  if (wanted !== undefined) {
    const folder = wantedFolder(wanted, account);
    const found = await Deno.stat(folder).catch(() => undefined);
    if (found?.isDirectory) return folder;
    throw new RumError(
      "exec_failed",
      `The guest's folder "${folder}" ${found === undefined ? "does not exist" : "is no folder"}`,
      { data: { code: 126 } },
    );
  }
  return (await Deno.stat(account.home).catch(() => undefined))?.isDirectory ? account.home : "/";
}

function wantedFolder(wanted: string | undefined, { home }: Account): string {
  if (wanted === undefined) return home;
  return wanted.startsWith("/") ? wanted : `${home}/${wanted}`;
}

/**
 * Where a program is, looked up as execvp would in the command's own PATH.
 *
 * @throws {RumError} `exec_failed`, 127 when it is nowhere, 126 when it is no executable file
 */
export async function findProgram(program: string, path: string, cwd: string): Promise<string> {
  const places = program.includes("/")
    ? [program.startsWith("/") ? program : `${cwd}/${program}`]
    : path.split(":").map((folder) => `${folder || cwd}/${program}`);
  const found = await Promise.all(places.map((place) => Deno.stat(place).catch(() => undefined)));
  const at = found.findIndex((each) => each?.isFile === true && ((each.mode ?? 0) & 0o111) !== 0);
  if (at >= 0) return places[at];
  const seen = found.some((each) => each !== undefined);
  throw new RumError(
    "exec_failed",
    seen
      ? `Cannot run "${program}" in the guest: it is not an executable file`
      : `Cannot run "${program}" in the guest: no such program`,
    { data: { code: seen ? 126 : 127 } },
  );
}

/** /etc/environment as pam_env reads it: KEY=value lines, quotes around the value dropped. */
export function environmentFile(text: string): Record<string, string> {
  const env: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const match = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*?)\s*$/.exec(line);
    if (match !== null) env[match[1]] = match[2].replace(/^(["'])(.*)\1$/, "$2");
  }
  return env;
}
