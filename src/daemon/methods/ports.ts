/** port.list, port.add, port.remove: the forwards of the running machine. */
import { RumError } from "../../base/errors.ts";
import { isAddress } from "../../config/addresses.ts";
import type { Forwards } from "../../guest/forwards.ts";
import { type Infer, integer, object, oneOf, optional, text } from "../../protocol/shape.ts";
import { method, type MethodTable } from "../../wire/rpc_types.ts";

export interface PortsOptions {
  readonly forwards: Forwards;
  /** The machine has power: else there is nothing to forward to. */
  readonly powered: () => boolean;
}

const addParams = object({
  bind: text(64),
  host: integer(0, 65535),
  guest: integer(1, 65535),
  proto: oneOf("tcp", "udp"),
});
const removeParams = object({ host: integer(1, 65535), bind: optional(text(64)) });

export function portMethods({ forwards, powered }: PortsOptions): MethodTable {
  return {
    "port.list": method({
      params: object({}),
      kind: "read",
      handle: () => ({ forwards: forwards.list() }),
    }),
    "port.add": method({
      params: addParams,
      kind: "stream",
      async handle(_context, spec: Infer<typeof addParams>) {
        if (!powered()) {
          throw new RumError("not_running", "The machine is not running", { hint: "rum up -d" });
        }
        if (!isAddress(spec.bind)) {
          throw new RumError(
            "invalid_params",
            `Cannot listen on "${spec.bind}": wanted an IP address such as 127.0.0.1`,
          );
        }
        return await forwards.add(spec);
      },
    }),
    "port.remove": method({
      params: removeParams,
      kind: "stream",
      handle: async (_context, which: Infer<typeof removeParams>) => ({
        removed: await forwards.remove(which),
      }),
    }),
  };
}
