/**
 * How a host reaches this agent: every way that this machine has, at once. Which one is used is the
 * host's choice; a session is the same on all of them.
 *
 *   auto        the virtio-serial port when it is there, vsock when kernel and runtime have it
 *   port:PATH   that port        vsock:PORT   that vsock port        unix:PATH   a socket, for tests
 */
import { connCarrier } from "../src/wire/mux_conn.ts";
import { createMux } from "../src/wire/mux.ts";
import type { Mux } from "../src/wire/mux_types.ts";
import { AGENT_VSOCK_PORT, vsockAllowed } from "../src/wire/mux_vsock.ts";
import { listenVsock } from "./link_vsock.ts";
import { PORT_PATH, servePort } from "./link_port.ts";

export interface LinkOptions {
  /** `auto`, `port:PATH`, `vsock:PORT` or `unix:PATH`. */
  readonly link: string;
  /** Who may connect over vsock, when it is not the host. */
  readonly acceptCid?: number;
  /** Gets every session; not waited for. */
  readonly serve: (mux: Mux) => void;
  readonly log: (line: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Serves until the signal.
 *
 * @throws {Error} when there is no way to be reached, or the named one fails
 */
export async function serveLinks(options: LinkOptions): Promise<void> {
  const { link } = options;
  const [kind, where] = splitOnce(link);
  switch (kind) {
    case "port":
      return await servePort({ ...options, path: where });
    case "vsock":
      return await listenVsock({ ...options, port: vsockPort(where) });
    case "unix":
      return await listenUnix(where, options);
    case "auto":
      return await serveAll(options);
    default:
      throw new Error(
        `Option "--link" wants auto, port:PATH, vsock:PORT or unix:PATH, found "${link}"`,
      );
  }
}

async function serveAll(options: LinkOptions): Promise<void> {
  const ways: Promise<void>[] = [];
  if (exists(PORT_PATH)) ways.push(servePort({ ...options, path: PORT_PATH }));
  if (exists("/dev/vsock") && vsockAllowed()) {
    ways.push(
      listenVsock({ ...options, port: AGENT_VSOCK_PORT }).catch((error) => {
        // A kernel with the device and no transport below it: the port is the way then.
        options.log(`vsock: ${error instanceof Error ? error.message : error}`);
        if (ways.length === 1) throw error;
      }),
    );
  }
  if (ways.length === 0) {
    throw new Error(
      `Found neither ${PORT_PATH} nor a usable /dev/vsock: no host can reach this agent`,
    );
  }
  await Promise.all(ways);
}

async function listenUnix(path: string, options: LinkOptions): Promise<void> {
  const listener = Deno.listen({ transport: "unix", path });
  const live = new Set<Mux>();
  const stop = () => listener.close();
  options.signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const conn of listener) {
      const mux = createMux(connCarrier(conn), { role: "guest" });
      live.add(mux);
      mux.closed.then(() => live.delete(mux));
      options.serve(mux);
    }
  } finally {
    options.signal.removeEventListener("abort", stop);
    for (const mux of live) mux.close();
  }
}

function vsockPort(text: string): number {
  const port = Number(text);
  if (!/^\d+$/.test(text) || port > 0xffffffff - 1) {
    throw new Error(`Option "--link" wants a vsock port, found "${text}"`);
  }
  return port;
}

function splitOnce(text: string): [string, string] {
  const at = text.indexOf(":");
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}
