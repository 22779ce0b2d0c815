/** `rum qmp`: one command to QEMU's monitor, its answer as JSON. */
import { EXIT, RumError } from "../base/errors.ts";
import { daemonClient } from "./daemon_client.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const [command, json] = call.operands;
  const given = json === undefined ? undefined : argumentsOf(json);
  await using client = await daemonClient(context, await targetOf(context));
  const { answer } = await client.request("qmp", {
    command,
    unsafe: call.options.unsafe === true,
    ...(given === undefined ? {} : { arguments: given }),
  }, { signal: context.signal, deadlineMs: context.globals.timeoutMs });
  context.out.document("qmp", { command, answer }, () => JSON.stringify(answer, null, 2));
  return EXIT.ok;
}

function argumentsOf(json: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new RumError(
      "usage",
      `Cannot read the command's arguments: ${(cause as Error).message}`,
      {
        cause,
        hint: "rum qmp --help",
      },
    );
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw new RumError("usage", "Cannot use the command's arguments: wanted a JSON object", {
    hint: "rum qmp --help",
  });
}
