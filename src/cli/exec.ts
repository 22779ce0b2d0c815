/**
 * `rum exec`: a command in the guest, as if it were a local one. This module reads the options;
 * `exec_words.ts` says what is run, `exec_run.ts` runs it.
 */
import { RumError, toRumError } from "../base/errors.ts";
import * as posix from "../base/posix_path.ts";
import { runInGuest, verdictOf } from "./exec_run.ts";
import { argvOf, envFileLines, environmentOf } from "./exec_words.ts";
import { durationOption } from "./globals.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { options } = call;
  let program;
  try {
    const env = await environment(context, options);
    const timeoutMs = typeof options.timeout === "string"
      ? durationOption("--timeout", options.timeout)
      : context.globals.timeoutMs;
    const tty = options.tty === true;
    program = {
      argv: argvOf(call.operands),
      tty,
      // A terminal that was asked for is there to be typed at.
      stdin: options.interactive === true || tty || !context.stdinIsTerminal,
      ...(typeof options.user === "string" ? { user: options.user } : {}),
      ...(typeof options.workdir === "string" ? { cwd: options.workdir } : {}),
      ...(Object.keys(env).length === 0 ? {} : { env }),
      ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
    };
  } catch (thrown) {
    const error = toRumError(thrown);
    const { exit, origin } = verdictOf(error);
    context.out.error(error, { exit, origin });
    return exit;
  }
  return await runInGuest(context, program);
}

const ENV_FILE_MAX = 1024 * 1024;

/** The file first, so that what is written on the command line wins. */
async function environment(
  context: Context,
  options: VerbCall["options"],
): Promise<Record<string, string>> {
  const pairs = (options.env as readonly string[] | undefined ?? [])
    .map((text) => ({ text, from: "-e" }));
  const lines = typeof options.envFile === "string"
    ? envFileLines(await readEnvFile(context.cwd, options.envFile), options.envFile)
    : [];
  return environmentOf([...lines, ...pairs], context.env);
}

async function readEnvFile(cwd: string, name: string): Promise<string> {
  const path = posix.resolve(cwd, name);
  try {
    const { size } = await Deno.stat(path);
    if (size <= ENV_FILE_MAX) return await Deno.readTextFile(path);
  } catch (cause) {
    throw new RumError(
      "no_such_file",
      `Cannot read --env-file "${name}": ${(cause as Error).message}`,
      { cause },
    );
  }
  throw new RumError(
    "invalid_params",
    `Cannot use --env-file "${name}": it is larger than ${ENV_FILE_MAX} bytes`,
  );
}
