/**
 * `rum proxy [HOST] PORT`: this process's stdin and stdout become a connection to a TCP port of the
 * guest. Half-closes pass both ways: the guest's end closes stdout, which is how ssh learns of it.
 */
import { EXIT, RumError } from "../base/errors.ts";
import { openCallStream } from "../daemon/client_stream.ts";
import { daemonClient } from "./daemon_client.ts";
import { hostStdin, writeFully } from "./exec_streams.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { host, port } = proxyOperands(call.operands);
  const target = await targetOf(withHost(context, host));
  await using client = await daemonClient(context, target);
  const stream = openCallStream(client, "proxy", { port }, { signal: context.signal });
  const there = hostStdin().pipeTo(stream.writable);
  there.catch(() => {});
  try {
    for await (const chunk of stream.readable) await writeFully(Deno.stdout, chunk);
    Deno.stdout.close();
    await stream.ended;
  } catch (thrown) {
    // Nobody reads our stdout any more: ssh is through.
    if (thrown instanceof Deno.errors.BrokenPipe) return EXIT.ok;
    throw stream.failure ?? thrown;
  } finally {
    stream.abort();
  }
  if (stream.failure !== undefined) throw stream.failure;
  return EXIT.ok;
}

/** @throws {RumError} `usage` */
export function proxyOperands(
  operands: readonly string[],
): { readonly host?: string; readonly port: number } {
  const text = operands.at(-1) ?? "";
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535 || operands.length > 2) {
    throw new RumError("usage", `Cannot connect to port "${text}": wanted 1 to 65535`, {
      hint: "rum proxy --help",
    });
  }
  return operands.length === 2 ? { host: operands[0], port } : { port };
}

/** `rum-NAME` means the machine NAME, unless -m says which. */
function withHost(context: Context, host: string | undefined): Context {
  const { globals } = context;
  if (host === undefined || globals.machine !== undefined) return context;
  return { ...context, globals: { ...globals, machine: host.replace(/^rum-/, "") } };
}
