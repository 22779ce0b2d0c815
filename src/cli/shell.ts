/** `rum shell`: a login shell in the guest, on a terminal or reading a script from a pipe. */
import { runInGuest } from "./exec_run.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { options } = call;
  return await runInGuest(context, {
    argv: [],
    login: true,
    tty: context.stdinIsTerminal && context.stdoutIsTerminal && context.out.mode !== "json",
    stdin: true,
    ...(context.globals.timeoutMs === undefined ? {} : { timeout_ms: context.globals.timeoutMs }),
    ...(typeof options.user === "string" ? { user: options.user } : {}),
    ...(typeof options.workdir === "string" ? { cwd: options.workdir } : {}),
  });
}
