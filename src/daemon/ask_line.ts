/**
 * The line protocol from the asking side: `rum status` is this and little more, so it imports next
 * to nothing. It also reaches daemons of any other version.
 */
import { isErrorCode, RumError } from "../base/errors.ts";
import { patientTimer } from "../base/patient_timer.ts";
import type { LineWord } from "../protocol/daemon.ts";

export interface AskOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Why there was no conversation at all, in `data.kind` of `daemon_unreachable`. */
export type Unreachable = "absent" | "refused" | "closed" | "no_token";

/**
 * @throws {RumError} `daemon_unreachable` when nobody listens, `daemon_hung` when nobody answers in
 *   time, or what the daemon answered
 */
export async function askLine(
  paths: { readonly socket: string },
  word: LineWord,
  options: AskOptions,
): Promise<Record<string, unknown>> {
  const { timeoutMs, signal } = options;
  signal?.throwIfAborted();
  const { promise: over, reject: end } = Promise.withResolvers<never>();
  over.catch(() => {});
  const timer = patientTimer(timeoutMs, () => end(hungError(paths.socket, timeoutMs)));
  const onAbort = () => end(signal!.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const connecting = dial(paths.socket);
  try {
    return await Promise.race([connecting.then((conn) => converse(conn, word)), over]);
  } finally {
    timer.cancel();
    signal?.removeEventListener("abort", onAbort);
    // Also the one that comes after its deadline.
    connecting.then((conn) => conn.close(), () => {});
  }
}

/** @throws {RumError} `daemon_unreachable` with `data.kind` */
export async function dial(path: string): Promise<Deno.UnixConn> {
  try {
    return await Deno.connect({ transport: "unix", path });
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) throw unreachable(path, "absent", thrown);
    if (thrown instanceof Deno.errors.ConnectionRefused) throw unreachable(path, "refused", thrown);
    if (thrown instanceof Deno.errors.PermissionDenied) {
      throw new RumError("permission_denied", `Cannot connect to "${path}": permission denied`, {
        cause: thrown,
      });
    }
    // A full queue of connections: somebody listens and does not accept.
    throw unreachable(path, "closed", thrown);
  }
}

export function unreachable(path: string, kind: Unreachable, cause?: unknown): RumError {
  const found = {
    absent: "there is no socket",
    refused: "nobody listens",
    closed: "the connection was closed at once",
    no_token: "the machine has no token; it is being removed",
  }[kind];
  return new RumError("daemon_unreachable", `Cannot reach the daemon at "${path}": ${found}`, {
    cause,
    hint: "rum daemon status",
    data: { kind },
  });
}

export function hungError(path: string, ms: number): RumError {
  return new RumError(
    "daemon_hung",
    `The machine's background process holds "${path}" and does not answer within ${ms / 1000} s`,
    { hint: "rum down, or rum up: both end it and go on" },
  );
}

async function converse(conn: Deno.UnixConn, word: LineWord): Promise<Record<string, unknown>> {
  let text = "";
  try {
    await conn.write(new TextEncoder().encode(`${word}\n`));
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(16 * 1024);
    while (!text.includes("\n")) {
      const n = await conn.read(buffer);
      if (n === null) break;
      text += decoder.decode(buffer.subarray(0, n), { stream: true });
    }
  } catch (thrown) {
    throw unreachable("its socket", "closed", thrown);
  }
  return parseAnswer(text, word);
}

export function parseAnswer(text: string, word: LineWord): Record<string, unknown> {
  const line = text.split("\n", 1)[0];
  if (line === "") throw unreachable("its socket", "closed");
  const error = /^error (\S+) ?(.*)$/.exec(line);
  if (error !== null) {
    const [, name, message] = error;
    throw new RumError(isErrorCode(name) ? name : "internal", message);
  }
  try {
    const document: unknown = line.startsWith("ok ") ? JSON.parse(line.slice(3)) : undefined;
    if (isDocument(document)) return document;
  } catch {
    // Told below.
  }
  throw new RumError("protocol_error", `The daemon answered ${word} with neither ok nor error`);
}

function isDocument(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
