/**
 * The compiled form: `deno compile` over the bundled program, with the libvirt worker and the agent
 * (itself compiled) as files inside. It needs `denort`, the runtime part, from DENORT_BIN, Deno's
 * cache or the network; without it the reason comes back and the caller packs the other form.
 */
import { AGENT_V8_FLAGS } from "../base/runtime_flags.ts";
import { runDeno } from "./bundle.ts";

/** Where nothing answers, `deno compile` would wait for its download longer than anybody here. */
const COMPILE_TIMEOUT_MS = 300_000;

export interface CompileOptions {
  /** Holds app/rum.js and agent/rum-agent.js; gets agent/rum-agent. */
  readonly work: string;
  readonly out: string;
}

/** Undefined when it worked, else the reason why `deno compile` is of no use here. */
export async function buildCompiled({ work, out }: CompileOptions): Promise<string | undefined> {
  const agent = `${work}/compiled/agent/rum-agent`;
  await Deno.mkdir(`${work}/compiled/agent`, { recursive: true });
  const first = await compile(work, [
    `--v8-flags=${AGENT_V8_FLAGS}`,
    ...["--output", agent, "agent/rum-agent.js"],
  ]);
  if (first !== undefined) return first;
  const { stdout } = await new Deno.Command(agent, {
    args: ["--version"],
    stdin: "null",
    stderr: "null",
  }).output();
  if (!new TextDecoder().decode(stdout).startsWith("rum-agent ")) {
    return "DENORT_BIN does not name a denort: what it packs behaves as deno itself";
  }
  await Deno.rename(`${work}/app`, `${work}/compiled/app`);
  try {
    const second = await compile(`${work}/compiled`, [
      ...["--include", "app", "--include", "agent/rum-agent"],
      ...["--output", `${out}/rum.new`, "app/rum.js"],
    ]);
    if (second !== undefined) return second;
  } finally {
    await Deno.rename(`${work}/compiled/app`, `${work}/app`);
  }
  await Deno.rename(`${out}/rum.new`, `${out}/rum`);
  await Deno.copyFile(agent, `${out}/rum-agent.new`);
  await Deno.rename(`${out}/rum-agent.new`, `${out}/rum-agent`);
  return undefined;
}

async function compile(cwd: string, args: readonly string[]): Promise<string | undefined> {
  const { success, text } = await runDeno(
    ["compile", "--quiet", "--no-config", "--no-lock", "--allow-all", "--unstable-vsock"]
      .concat("--no-check", args),
    { cwd, timeoutMs: COMPILE_TIMEOUT_MS },
  );
  return success ? undefined : whatWentWrong(text);
}

/** The line that says it, not the stack below it. */
function whatWentWrong(text: string): string {
  const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return lines.find((line) => line.includes("denort")) ??
    lines.find((line) => /error/i.test(line)) ??
    "it failed without a word";
}
