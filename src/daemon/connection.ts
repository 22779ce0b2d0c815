/**
 * One connection to a daemon, from its first byte to its end: it decides between the line protocol
 * and frames, is hurried until it has said who it is, and is served until either side closes.
 * Nothing that happens here can reach another connection.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { DAEMON_LIMITS } from "../protocol/daemon.ts";
import type { Duplex } from "../wire/duplex.ts";
import { FrameReader, FrameWriter } from "../wire/frames.ts";
import { RpcServer } from "../wire/rpc_server.ts";
import { type Method, type MethodTable, wireError } from "../wire/rpc_types.ts";
import { type DaemonInfo, greet } from "./handshake.ts";
import { answerLine, errorLine, type LineHandlers, opensLine } from "./line_protocol.ts";
import type { Places } from "./places.ts";

/** What all connections of a daemon share. */
export interface ConnectionHost {
  readonly info: DaemonInfo;
  readonly lines: LineHandlers;
  /** Absent in a one-shot holder of the lock, which speaks lines only. */
  readonly methods?: MethodTable;
  readonly token: () => Promise<string>;
  /** Aborted once a release began; never taken back. */
  readonly shuttingDown: AbortSignal;
  readonly places: Places;
  readonly helloMs: number;
  log(text: string): void;
}

/** How long a peer has to take our last words before the connection is cut. */
const LAST_WORDS_MS = 1000;

export class Connection {
  readonly #id: number;
  readonly #host: ConnectionHost;
  readonly #duplex: Duplex;
  readonly #reader: FrameReader;
  readonly #writer: FrameWriter;
  #rpc?: RpcServer;
  #lineUnderWay?: Promise<void>;

  constructor(id: number, duplex: Duplex, host: ConnectionHost) {
    this.#id = id;
    this.#host = host;
    this.#duplex = duplex;
    this.#reader = new FrameReader(duplex.readable, { maxBytes: DAEMON_LIMITS.helloBytes });
    this.#writer = new FrameWriter(duplex.writable);
  }

  /** Serves the connection to its end. Never rejects. */
  async run(): Promise<void> {
    const { places, helloMs } = this.#host;
    places.arrive(this.#id, () => this.#duplex.abort());
    const hurry = setTimeout(() => void this.#tooSlow(), helloMs);
    try {
      const first = await this.#reader.peek();
      if (first === undefined) return;
      if (opensLine(first)) await this.#line(() => clearTimeout(hurry));
      else await this.#frames(() => clearTimeout(hurry));
    } catch (thrown) {
      // What is no RumError here is the socket's own end; there is nobody left to tell.
      if (thrown instanceof RumError) {
        await this.#writer.send({ error: wireError(thrown) }).catch(() => {});
      }
    } finally {
      clearTimeout(hurry);
      places.leave(this.#id);
      await this.#lastWords();
      this.#duplex.abort();
    }
  }

  /** Resolves when nothing is under way on this connection. */
  async idle(): Promise<void> {
    await Promise.all([this.#rpc?.idle(), this.#lineUnderWay]);
  }

  /** Calls what is under way off, each with its terminal frame, and closes. */
  async end(reason: RumError): Promise<void> {
    this.#rpc?.stop(reason, { graceMs: LAST_WORDS_MS / 2 });
    await before(LAST_WORDS_MS, this.idle());
    await this.#lastWords();
    this.#duplex.abort();
  }

  async #line(heard: () => void): Promise<void> {
    const { places, lines, shuttingDown } = this.#host;
    let text: string | undefined;
    try {
      text = await this.#reader.line(DAEMON_LIMITS.lineBytes);
    } catch (thrown) {
      if (thrown instanceof RumError) await this.#say(errorLine(thrown));
      return;
    }
    heard();
    if (text === undefined) return;
    if (!places.speakLine(this.#id)) {
      return await this.#say(errorLine(new RumError("busy", "Too many connections; try again")));
    }
    this.#lineUnderWay = answerLine(text, lines, shuttingDown).then((answer) => this.#say(answer));
    await this.#lineUnderWay;
  }

  async #frames(heard: () => void): Promise<void> {
    const { info, token, methods, places } = this.#host;
    if (methods === undefined) {
      throw new RumError("busy", "This process answers ping and status only, and ends soon", {
        hint: "rum status",
      });
    }
    const client = await greet(this.#reader, this.#writer, {
      info,
      token,
      heard: () => {
        if (places.establish(this.#id)) return;
        throw new RumError("busy", "Too many connections; try again");
      },
    });
    heard();
    this.#rpc = new RpcServer({
      reader: this.#reader,
      writer: this.#writer,
      methods,
      connection: this.#id,
      client: { version: client.version, build: client.build },
      refuse: (_name, method) => this.#refuse(method),
    });
    await this.#rpc.serve();
  }

  #refuse(method: Method): RumError | undefined {
    if (!this.#host.shuttingDown.aborted || method.kind === "read") return undefined;
    return new RumError("shutting_down", "The daemon is ending and takes no new work", {
      hint: "try again: the next command starts a new one",
    });
  }

  async #tooSlow(): Promise<void> {
    const { helloMs } = this.#host;
    const error = new RumError("timeout", `Nothing whole was said within ${helloMs} ms`);
    await before(LAST_WORDS_MS, this.#writer.send({ error: wireError(error) }).catch(() => {}));
    this.#duplex.abort();
  }

  async #say(text: string): Promise<void> {
    await this.#writer.sendBytes(new TextEncoder().encode(text)).catch(() => {});
  }

  async #lastWords(): Promise<void> {
    await before(LAST_WORDS_MS, this.#writer.close());
  }
}

/** Waits for `work`, but not longer than `ms`. Never rejects. */
async function before(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  await Promise.race([work.catch((thrown) => toRumError(thrown)), late]);
  clearTimeout(timer);
}
