/** Console and channel of the fake: sockets that a test serves in its folder. */
import { RumError } from "../base/errors.ts";
import type { Duplex } from "../wire/duplex.ts";

export async function connectTo(path: string, what: string): Promise<Duplex> {
  let connection: Deno.UnixConn;
  try {
    connection = await Deno.connect({ transport: "unix", path });
  } catch (cause) {
    throw new RumError("not_supported", `Cannot open ${what}: nobody serves ${path}`, { cause });
  }
  return {
    readable: connection.readable,
    writable: connection.writable,
    abort() {
      try {
        connection.close();
      } catch {
        // Closed already, by whichever direction ended last.
      }
    },
  };
}
