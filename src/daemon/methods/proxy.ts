/**
 * proxy: a TCP port of the guest as a client's stdin and stdout. Towards port 22 the guest's host
 * keys are pinned first, so that ssh, which reads them after the first bytes, never meets an unknown
 * host and never has to trust the way.
 */
import { systemClock } from "../../base/clock.ts";
import { RumError } from "../../base/errors.ts";
import type { AgentClient } from "../../guest/agent_client.ts";
import { readHostKeys } from "../../guest/host_keys.ts";
import type { MachinePaths } from "../../plan/paths.ts";
import { integer, object } from "../../protocol/shape.ts";
import { HOST_KEY_FILES, pinHostKeys } from "../../store/known_hosts.ts";
import type { Duplex } from "../../wire/duplex.ts";
import { method, type MethodTable } from "../../wire/rpc_types.ts";
import { pumpCall } from "../call_stream.ts";

const SSH = 22;
/** How long after its boot a guest may still be about to start its sshd, and how long we wait for it. */
const BOOTING_MS = 5 * 60_000;
const SSHD_WAIT_MS = 60_000;
const SSHD_POLL_MS = 300;

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
        const stream = port === SSH
          ? await dialSshd(client, io.signal)
          : await client.dial(port, { signal: io.signal });
        try {
          // After the dial: an sshd that listens has its keys.
          if (port === SSH) {
            await pinHostKeys(
              paths,
              await readHostKeys(client, HOST_KEY_FILES, { signal: io.signal }),
            );
          }
        } catch (error) {
          stream.abort(error);
          throw error;
        }
        await pumpCall(stream, io, { endsWithGuest: false });
        return {};
      },
    }),
  };
}

/** The agent answers, and the machine is ready, before a booting guest has started its sshd. */
async function dialSshd(client: AgentClient, signal: AbortSignal): Promise<Duplex> {
  const end = performance.now() + SSHD_WAIT_MS;
  for (;;) {
    try {
      return await client.dial(SSH, { signal });
    } catch (error) {
      const refused = error instanceof RumError && error.data?.reason === "refused";
      if (!refused || performance.now() >= end) throw error;
      const { uptimeMs } = await client.stats({ signal });
      if (uptimeMs > BOOTING_MS) throw error;
      await systemClock.sleep(SSHD_POLL_MS, { signal });
    }
  }
}
