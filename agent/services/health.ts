/** One health check of a service, as seen in the guest. Never throws: a failure is an answer. */
import type { ServiceSpec } from "../../src/protocol/services.ts";
import { resolveCommand } from "../exec/command.ts";
import { endSession } from "../exec/session_end.ts";

export interface Checked {
  readonly ok: boolean;
  readonly text?: string;
}

export async function checkHealth(
  spec: ServiceSpec,
  options: { readonly root: string; readonly signal: AbortSignal },
): Promise<Checked> {
  const { health } = spec;
  if (health.kind === "none") return { ok: true };
  const late = new AbortController();
  const timer = setTimeout(
    () => late.abort(new Error(`no answer within ${health.timeoutMs} ms`)),
    health.timeoutMs,
  );
  const leave = () => late.abort(options.signal.reason);
  options.signal.addEventListener("abort", leave, { once: true });
  if (options.signal.aborted) leave();
  try {
    switch (health.kind) {
      case "http":
        return await checkHttp(health.url, late.signal);
      case "tcp":
        return await checkTcp(health.port, late.signal);
      case "exec":
        return await checkExec(spec, health.command, options.root, late.signal);
    }
  } catch (error) {
    return { ok: false, text: `health check: ${error instanceof Error ? error.message : error}` };
  } finally {
    clearTimeout(timer);
    options.signal.removeEventListener("abort", leave);
  }
}

async function checkHttp(url: string, signal: AbortSignal): Promise<Checked> {
  const response = await fetch(url, { signal, redirect: "manual" });
  await response.body?.cancel();
  if (response.status >= 200 && response.status < 400) return { ok: true };
  return { ok: false, text: `health check: ${url} answered ${response.status}` };
}

async function checkTcp(port: number, signal: AbortSignal): Promise<Checked> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port, signal });
  conn.close();
  return { ok: true };
}

async function checkExec(
  spec: ServiceSpec,
  argv: readonly string[],
  root: string,
  signal: AbortSignal,
): Promise<Checked> {
  const command = await resolveCommand(
    { argv: [...argv], user: spec.user, cwd: spec.cwd, env: spec.env },
    root,
  );
  const [program, ...args] = command.argv;
  // Called off while user and folder were looked up: nobody would end it any more.
  signal.throwIfAborted();
  const child = new Deno.Command(program, {
    ...{ args, cwd: command.cwd, env: command.env, clearEnv: true },
    ...{ stdin: "null", stdout: "null", stderr: "null", detached: true },
  }).spawn();
  let ending: Promise<void> | undefined;
  const stop = () => {
    ending = endSession(child.pid, "SIGKILL", { graceMs: 0 });
  };
  signal.addEventListener("abort", stop, { once: true });
  const { code } = await child.status;
  signal.removeEventListener("abort", stop);
  // What the command started is gone too before the check has an answer.
  await ending;
  signal.throwIfAborted();
  return code === 0 ? { ok: true } : { ok: false, text: `health check: exited with ${code}` };
}
