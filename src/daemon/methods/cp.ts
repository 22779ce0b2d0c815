/**
 * cp: the agent's file methods for a client. Bytes, holes, checksums and names are checked where
 * they are read and written, in the client and in the agent; passing through here they are looked at
 * by nobody, so a copy costs the daemon one base64 and no second hash.
 */
import type { AgentClient } from "../../guest/agent_client.ts";
import { CP_METHODS } from "../../protocol/daemon.ts";
import { anything, flag, type Infer, object, oneOf, optional } from "../../protocol/shape.ts";
import { RumError } from "../../base/errors.ts";
import { method, type MethodTable } from "../../wire/rpc_types.ts";
import { pumpCall } from "../call_stream.ts";

const params = object({
  method: oneOf(...CP_METHODS),
  params: optional(anything()),
  more: optional(flag()),
});

export function cpMethods(
  { agent }: { readonly agent: (signal: AbortSignal) => Promise<AgentClient> },
): MethodTable {
  return {
    cp: method({
      params,
      kind: "stream",
      async handle(_context, call: Infer<typeof params>, io) {
        const { mux } = await agent(io.signal);
        const header = call.more
          ? { m: call.method, more: true }
          : { m: call.method, p: call.params };
        const stream = await mux.open(new TextEncoder().encode(JSON.stringify(header)))
          .catch((cause) => {
            throw new RumError("agent_unavailable", "Cannot reach the guest agent: no link", {
              cause,
              hint: "rum status",
            });
          });
        await pumpCall(stream, io, { endsWithGuest: true });
        return {};
      },
    }),
  };
}
