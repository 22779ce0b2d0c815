/**
 * proxy: a TCP port of the guest as a client's stdin and stdout. Towards port 22 the guest's host
 * keys are pinned first, so that ssh, which reads them after the first bytes, never meets an unknown
 * host and never has to trust the way.
 */
import type { AgentClient } from "../../guest/agent_client.ts";
import { readHostKeys } from "../../guest/host_keys.ts";
import type { MachinePaths } from "../../plan/paths.ts";
import { integer, object } from "../../protocol/shape.ts";
import { HOST_KEY_FILES, pinHostKeys } from "../../store/known_hosts.ts";
import { method, type MethodTable } from "../../wire/rpc_types.ts";
import { pumpCall } from "../call_stream.ts";

const SSH = 22;

export interface ProxyOptions {
  readonly paths: Pick<MachinePaths, "id" | "knownHosts">;
  readonly agent: (signal: AbortSignal) => Promise<AgentClient>;
}

export function proxyMethods({ paths, agent }: ProxyOptions): MethodTable {
  return {
    proxy: method({
      params: object({ port: integer(1, 65535) }),
      kind: "stream",
      async handle(_context, { port }, io) {
        const client = await agent(io.signal);
        if (port === SSH) {
          await pinHostKeys(
            paths,
            await readHostKeys(client, HOST_KEY_FILES, { signal: io.signal }),
          );
        }
        const stream = await client.dial(port, { signal: io.signal });
        await pumpCall(stream, io, { endsWithGuest: false });
        return {};
      },
    }),
  };
}
