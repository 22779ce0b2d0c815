/**
 * The compiled form: `deno compile` over the bundled program, with the libvirt worker and the agent
 * (itself compiled) as files inside. It needs `denort`, the runtime part, from DENORT_BIN, Deno's
 * cache or the network; without it the reason comes back and the caller packs the other form.
 */
import { AGENT_V8_FLAGS, UNSTABLE_FLAGS } from "../base/runtime_flags.ts";
import { runDeno } from "./bundle.ts";

/** Where nothing answers, `deno compile` would wait for its download longer than anybody here. */
const COMPILE_TIMEOUT_MS = 300_000;

export interface CompileOptions {
  /** Holds app/rum.js and agent/rum-agent.js; gets agent/rum-agent. */
  readonly work: string;
  readonly out: string;
}

/** Undefined when it worked, else the reason why `deno compile` is of no use here. */
export async function buildCompiled(options: CompileOptions): Promise<string | undefined> {
  const agent = agentOf(options);
  const first = await packAgent(options);
  if (first !== undefined) return first;
  const { stdout } = await new Deno.Command(agent, {
    args: ["--version"],
    stdin: "null",
    stderr: "null",
  }).output();
  if (!new TextDecoder().decode(stdout).startsWith("rum-agent ")) {
    return "DENORT_BIN does not name a denort: what it packs behaves as deno itself";
  }
  const second = await packRum(options);
  if (second !== undefined) return second;
  await Deno.copyFile(agent, `${options.out}/rum-agent.new`);
  await Deno.rename(`${options.out}/rum-agent.new`, `${options.out}/rum-agent`);
  return undefined;
}

/** The agent, which then lies where `packRum` includes it. Undefined when it worked. */
export async function packAgent(options: CompileOptions): Promise<string | undefined> {
  await Deno.mkdir(`${options.work}/compiled/agent`, { recursive: true });
  return await compile(options.work, [
    ...["--no-code-cache", `--v8-flags=${AGENT_V8_FLAGS}`],
    ...["--output", agentOf(options), "agent/rum-agent.js"],
  ]);
}

/** The program with the agent inside. Undefined when it worked. */
export async function packRum({ work, out }: CompileOptions): Promise<string | undefined> {
  await Deno.rename(`${work}/app`, `${work}/compiled/app`);
  try {
    const failed = await compile(`${work}/compiled`, [
      ...["--include", "app", "--include", "agent/rum-agent"],
      ...["--output", `${out}/rum.new`, "app/rum.js"],
    ]);
    if (failed !== undefined) return failed;
  } finally {
    await Deno.rename(`${work}/compiled/app`, `${work}/app`);
  }
  await Deno.rename(`${out}/rum.new`, `${out}/rum`);
  return undefined;
}

const agentOf = ({ work }: CompileOptions) => `${work}/compiled/agent/rum-agent`;

async function compile(cwd: string, args: readonly string[]): Promise<string | undefined> {
  const { success, text } = await runDeno(
    ["compile", "--quiet", "--no-config", "--no-lock", "--allow-all", ...UNSTABLE_FLAGS]
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
