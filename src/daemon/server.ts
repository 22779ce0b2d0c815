/**
 * Every connection of a daemon, and the loop that accepts them: one at a time, each asked of the
 * kernel whose it is before a byte of it is read, then a task of its own.
 */
import { RumError } from "../base/errors.ts";
import { DAEMON_LIMITS } from "../protocol/daemon.ts";
import type { Duplex } from "../wire/duplex.ts";
import { Connection, type ConnectionHost } from "./connection.ts";
import { mayConnect, PeerUids } from "./peer_uid.ts";
import { type PlaceLimits, Places } from "./places.ts";
import { unixDuplex } from "./unix_duplex.ts";

export interface ServerOptions extends Omit<ConnectionHost, "places" | "helloMs"> {
  readonly limits?: PlaceLimits;
  readonly helloMs?: number;
}

/** Enough for any frame to arrive in pieces, little enough for hundreds of idle connections. */
const READ_BYTES = 16 * 1024;

export class DaemonServer {
  readonly #host: ConnectionHost;
  readonly #connections = new Set<Connection>();
  #nextId = 1;
  #listener?: Deno.UnixListener;
  #accepting?: Promise<void>;

  constructor(options: ServerOptions) {
    const { limits, helloMs = DAEMON_LIMITS.helloMs, ...shared } = options;
    this.#host = { ...shared, helloMs, places: new Places(limits) };
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Serves a stream whose other end is known to be allowed. Resolves at its end. */
  async serve(duplex: Duplex): Promise<void> {
    const connection = new Connection(this.#nextId++, duplex, this.#host);
    this.#connections.add(connection);
    try {
      await connection.run();
    } finally {
      this.#connections.delete(connection);
    }
  }

  /** Begins to accept. `boundPath` is the name that the listener was bound to. */
  listen(listener: Deno.UnixListener, boundPath: string): void {
    this.#listener = listener;
    this.#accepting = this.#acceptLoop(listener, new PeerUids(boundPath));
  }

  /** Accepts nobody any more; who is there is still served. */
  async stopAccepting(): Promise<void> {
    try {
      this.#listener?.close();
    } catch {
      // Closed already.
    }
    await this.#accepting;
  }

  /** Lets what is under way end by itself for `ms`, then ends it. Never rejects. */
  async drain(ms: number = DAEMON_LIMITS.drainMs): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([Promise.all([...this.#connections].map((each) => each.idle())), late]);
    clearTimeout(timer);
    const reason = new RumError("shutting_down", "The daemon has ended", {
      hint: "try again: the next command starts a new one",
    });
    await Promise.all([...this.#connections].map((each) => each.end(reason)));
  }

  async #acceptLoop(listener: Deno.UnixListener, peers: PeerUids): Promise<void> {
    const ownUid = Deno.uid() ?? 0;
    for (;;) {
      await this.#host.places.room();
      let conn: Deno.UnixConn;
      try {
        conn = await listener.accept();
      } catch (thrown) {
        if (thrown instanceof Deno.errors.BadResource) return;
        if (thrown instanceof Deno.errors.Interrupted) return;
        // Out of file descriptors, most likely: others may go on, and so does this loop.
        this.#host.log(`Cannot accept a connection: ${(thrown as Error).message}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      this.#check(conn, peers, ownUid);
    }
  }

  #check(conn: Deno.UnixConn, peers: PeerUids, ownUid: number): void {
    let refusal: string | undefined;
    try {
      const peer = peers.newcomer(ownUid);
      if (peer !== undefined && mayConnect(peer.uid, ownUid)) {
        void this.serve(unixDuplex(conn, { maxBuffer: READ_BYTES })).finally(peer.forget);
        return;
      }
      peer?.forget();
      refusal = peer === undefined ? "its user is unknown" : `it is of uid ${peer.uid}`;
    } catch (thrown) {
      refusal = `its user cannot be asked: ${(thrown as Error).message}`;
    }
    this.#host.log(`Refused a connection: ${refusal}`);
    conn.close();
  }
}
