/**
 * ssh without OpenSSH: commands and login shells by the ssh2 library, over the same `proxy` call and
 * with the same pinned host key. What ssh can do besides (forwards, agents, files) has verbs of
 * rum's own, and is refused here by name.
 */
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { Duplex as NodeDuplex } from "node:stream";
import type { ClientChannel, PseudoTtyOptions } from "ssh2";
import { RumError } from "../base/errors.ts";
import { openCallStream } from "../daemon/client_stream.ts";
import type { Duplex } from "../wire/duplex.ts";
import { daemonClient } from "./daemon_client.ts";
import { hostStdin, rawTerminal, terminalSize, terminalSizes, writeFully } from "./exec_streams.ts";
import type { SshMachine } from "./ssh_block.ts";
import type { Target } from "./target.ts";
import type { Context } from "./verb.ts";

const READY_MS = 30_000;
const SSH_PORT = 22;
const BY_SIGNAL = 255;

export interface BuiltinCall {
  readonly user?: string;
  /** Undefined: when a shell is wanted. */
  readonly tty?: boolean;
  /** Empty: a login shell. */
  readonly command: string;
}

/** The few of ssh's own options that are served. @throws {RumError} `not_supported` for others */
export function builtinCall(args: readonly string[]): BuiltinCall {
  let user: string | undefined;
  let tty: boolean | undefined;
  let at = 0;
  for (; at < args.length; at++) {
    const arg = args[at];
    if (arg === "--") {
      at++;
      break;
    }
    if (!arg.startsWith("-")) break;
    if (/^-t+$/.test(arg)) tty = true;
    else if (arg === "-T") tty = false;
    else if (arg === "-l" && args[at + 1] !== undefined) user = args[++at];
    else if (/^-l./.test(arg)) user = arg.slice(2);
    else {
      throw new RumError(
        "not_supported",
        `Cannot serve "${arg}" without an ssh program: rum's own client knows -t, -T, -l and a command`,
        { hint: "install openssh-client, or use rum exec, rum cp, rum port" },
      );
    }
  }
  return {
    ...(user === undefined ? {} : { user }),
    ...(tty === undefined ? {} : { tty }),
    // As ssh does: the words are joined, and the guest's shell takes them apart.
    command: args.slice(at).join(" "),
  };
}

export async function sshWithoutOpenSsh(
  context: Context,
  target: Target,
  machine: SshMachine,
  args: readonly string[],
): Promise<number> {
  const call = builtinCall(args);
  await using client = await daemonClient(context, target);
  const stream = openCallStream(client, "proxy", { port: SSH_PORT }, { signal: context.signal });
  try {
    return await runOverSsh(stream, machine, {
      ...call,
      tty: call.tty ?? (call.command === "" && context.stdinIsTerminal),
      term: context.env.TERM ?? "xterm-256color",
      rawStdin: context.stdinIsTerminal,
    });
  } catch (thrown) {
    throw stream.failure ?? thrown;
  } finally {
    stream.abort();
  }
}

export interface SshSession extends BuiltinCall {
  readonly tty: boolean;
  readonly term: string;
  /** stdin is a terminal: keys go to the guest as they are. */
  readonly rawStdin: boolean;
}

/** One command or shell over any byte stream to an sshd. Returns its exit code. */
export async function runOverSsh(
  stream: Duplex,
  machine: Pick<SshMachine, "user" | "identity" | "knownHosts">,
  session: SshSession,
): Promise<number> {
  const { default: ssh2 } = await import("ssh2");
  const connection = new ssh2.Client();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  connection.on("error", (error: Error) => failed.reject(sshError(error)));
  connection.on("close", () => failed.reject(sshError(new Error("the connection was closed"))));
  const sock = NodeDuplex.fromWeb(
    { readable: stream.readable, writable: stream.writable } as Parameters<
      typeof NodeDuplex.fromWeb
    >[0],
  );
  sock.on("error", () => {});
  const ready = new Promise<void>((resolve) => connection.once("ready", resolve));
  connection.connect({
    sock,
    username: session.user ?? machine.user,
    privateKey: await Deno.readTextFile(machine.identity),
    readyTimeout: READY_MS,
    // The daemon pinned the keys before the first byte came through.
    hostVerifier: (key: Buffer) => isPinned(key, machine.knownHosts),
  });
  try {
    await Promise.race([ready, failed.promise]);
    const channel = await Promise.race([openChannel(connection, session), failed.promise]);
    return await Promise.race([attach(channel, session), failed.promise]);
  } finally {
    connection.end();
    connection.destroy();
  }
}

type Client = InstanceType<(typeof import("ssh2"))["default"]["Client"]>;

function openChannel(connection: Client, session: SshSession): Promise<ClientChannel> {
  const { columns, rows } = terminalSize();
  const pty: PseudoTtyOptions | undefined = session.tty
    ? { term: session.term, cols: columns, rows, width: 0, height: 0 }
    : undefined;
  return new Promise((resolve, reject) => {
    const opened = (error: Error | undefined, channel: ClientChannel) =>
      error ? reject(sshError(error)) : resolve(channel);
    if (session.command === "") connection.shell(pty ?? false, {}, opened);
    else connection.exec(session.command, pty === undefined ? {} : { pty }, opened);
  });
}

async function attach(channel: ClientChannel, session: SshSession): Promise<number> {
  using _raw = session.tty && session.rawStdin ? rawTerminal() : undefined;
  const ended = Promise.withResolvers<number>();
  let code = BY_SIGNAL;
  channel.on("exit", (found: number | null) => code = found ?? BY_SIGNAL);
  channel.on("close", () => ended.resolve(code));
  const sizes = session.tty ? terminalSizes()[Symbol.asyncIterator]() : undefined;
  if (sizes !== undefined) void followSize(channel, sizes);
  const input = hostStdin().getReader();
  void feed(channel, input);
  try {
    await Promise.all([passOn(channel, Deno.stdout), passOn(channel.stderr, Deno.stderr)]);
    return await ended.promise;
  } finally {
    await sizes?.return?.();
    await input.cancel().catch(() => {});
  }
}

async function passOn(
  from: AsyncIterable<Uint8Array>,
  to: { write(bytes: Uint8Array): Promise<number> },
): Promise<void> {
  for await (const bytes of from) await writeFully(to, bytes);
}

async function feed(
  channel: ClientChannel,
  input: ReadableStreamDefaultReader<Uint8Array>,
): Promise<void> {
  try {
    for (;;) {
      const { done, value } = await input.read();
      if (done) break;
      if (!channel.write(Buffer.from(value))) {
        await new Promise<void>((resolve) => channel.once("drain", resolve));
      }
    }
    channel.end();
  } catch {
    // The command ended while we waited for a key.
  }
}

async function followSize(
  channel: ClientChannel,
  sizes: AsyncIterator<{ readonly columns: number; readonly rows: number }>,
): Promise<void> {
  for (let next = await sizes.next(); !next.done; next = await sizes.next()) {
    channel.setWindow(next.value.rows, next.value.columns, 0, 0);
  }
}

export function isPinned(key: Uint8Array, knownHosts: string): boolean {
  const blob = Buffer.from(key).toString("base64");
  try {
    return readFileSync(knownHosts, "utf8").split("\n").some((line) => line.split(" ")[2] === blob);
  } catch {
    return false;
  }
}

function sshError(cause: Error): RumError {
  return new RumError("agent_error", `ssh into the guest failed: ${cause.message}`, {
    cause,
    hint: "rum exec -- systemctl status ssh",
  });
}
