/** Running the guest's own tools: argv only, output kept for the sentence of a failure. */
import { RumError } from "../../src/base/errors.ts";

export interface ToolResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Never throws for an exit code; 127 when the tool is not installed. */
export async function tool(...argv: string[]): Promise<ToolResult> {
  const [program, ...args] = argv;
  try {
    const { code, stdout, stderr } = await new Deno.Command(program, {
      args,
      stdin: "null",
      env: { LC_ALL: "C" },
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
    return { code, out: text(stdout), err: text(stderr) };
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return { code: 127, out: "", err: `${program} is not installed in the guest` };
  }
}

/** @throws {RumError} `agent_error` with the tool's own words */
export async function must(...argv: string[]): Promise<string> {
  const { code, out, err } = await tool(...argv);
  if (code === 0) return out;
  throw new RumError(
    "agent_error",
    `"${argv.join(" ")}" failed with ${code}: ${(err || out).slice(0, 2000)}`,
  );
}
