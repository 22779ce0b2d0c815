/**
 * How a client and a daemon meet: versions agreed on, and each shows that it can read the machine's
 * token file without the token ever being sent.
 *
 *   client → hello    {proto range, version, build, nonce}
 *   daemon → welcome  {proto, version, build, nonce, proof, …}     proof = HMAC(token, "daemon" ‖ nonces)
 *   client → proof    {proof}                                      proof = HMAC(token, "client" ‖ nonces)
 *
 * The two labels keep a proof from being reflected. Requests may follow the client's proof at once.
 */
import { RumError } from "../base/errors.ts";
import { hexOf, hmacSha256Hex, sameSecret } from "../base/sha256.ts";
import {
  commonProtocol,
  DAEMON_PROTOCOL,
  type Hello,
  helloShape,
  proofShape,
  type Welcome,
  welcomeShape,
} from "../protocol/daemon.ts";
import { type Shape, ShapeError } from "../protocol/shape.ts";
import type { FrameReader, FrameWriter } from "../wire/frames.ts";
import { errorFromWire, RPC_LIMITS } from "../wire/rpc_types.ts";

export interface DaemonInfo {
  readonly version: string;
  readonly build: string;
  readonly capabilities: readonly string[];
  configHash(): string | undefined;
}

/**
 * The daemon's side; resolves once the client proved itself.
 *
 * @throws {RumError} `protocol_error`, `version_mismatch`, `unauthorized`, or what `heard` throws
 */
export async function greet(
  reader: FrameReader,
  writer: FrameWriter,
  options: {
    readonly info: DaemonInfo;
    readonly token: () => Promise<string>;
    readonly protocol?: { readonly min: number; readonly max: number };
    /** Told once a hello is whole; who is welcome from then on is not sent away. */
    readonly heard?: () => void;
  },
): Promise<Hello> {
  const { info } = options;
  const range = options.protocol ?? DAEMON_PROTOCOL;
  const { hello } = read(helloShape, await reader.next(), "a hello");
  options.heard?.();
  const proto = commonProtocol(range, hello.proto);
  if (proto === undefined) {
    throw new RumError(
      "version_mismatch",
      `This daemon is rum ${info.version} and speaks protocol ${range.min} to ${range.max}; ` +
        `the client is rum ${hello.version} and speaks ${hello.proto.min} to ${hello.proto.max}`,
      { data: { version: info.version, proto: range } },
    );
  }
  const token = await options.token();
  const nonce = hexOf(crypto.getRandomValues(new Uint8Array(32)));
  const nonces = `${hello.nonce} ${nonce}`;
  const configHash = info.configHash();
  const welcome: Welcome = {
    proto,
    version: info.version,
    build: info.build,
    nonce,
    proof: proofOf(token, "daemon", nonces),
    pid: Deno.pid,
    capabilities: info.capabilities,
    limits: {
      max_frame: RPC_LIMITS.maxFrame,
      max_request: RPC_LIMITS.maxRequest,
      max_calls: RPC_LIMITS.maxCalls,
      input_window: RPC_LIMITS.inputWindow,
    },
    ...(configHash === undefined ? {} : { config_hash: configHash }),
  };
  await writer.send({ welcome });
  const { proof } = read(proofShape, await reader.next(), "a proof");
  if (!sameSecret(proof, proofOf(token, "client", nonces))) {
    throw new RumError("unauthorized", "The client does not know this machine's token");
  }
  return hello;
}

/**
 * The client's side.
 *
 * @throws {RumError} what the daemon refused with; `unauthorized` when it does not know the token
 */
export async function introduce(
  reader: FrameReader,
  writer: FrameWriter,
  options: {
    readonly token: string;
    readonly version: string;
    readonly build: string;
    readonly protocol?: { readonly min: number; readonly max: number };
  },
): Promise<Welcome> {
  const { token, version, build } = options;
  const nonce = hexOf(crypto.getRandomValues(new Uint8Array(32)));
  const proto = options.protocol ?? DAEMON_PROTOCOL;
  await writer.send({ hello: { proto, version, build, nonce } });
  const answer = await reader.next();
  const { welcome } = read(welcomeShape, answer, "a welcome");
  const nonces = `${nonce} ${welcome.nonce}`;
  if (!sameSecret(welcome.proof, proofOf(token, "daemon", nonces))) {
    throw new RumError(
      "unauthorized",
      "What answers at the machine's socket does not know the machine's token",
      { hint: "rum daemon status" },
    );
  }
  await writer.send({ proof: proofOf(token, "client", nonces) });
  const given = (answer!.value as { welcome: Partial<Welcome> }).welcome;
  return {
    ...welcome,
    capabilities: Array.isArray(given.capabilities) ? given.capabilities.map(String) : [],
    limits: {
      max_frame: limit(given.limits?.max_frame, RPC_LIMITS.maxFrame),
      max_request: limit(given.limits?.max_request, RPC_LIMITS.maxRequest),
      max_calls: limit(given.limits?.max_calls, RPC_LIMITS.maxCalls),
      input_window: limit(given.limits?.input_window, RPC_LIMITS.inputWindow),
    },
  };
}

function limit(given: unknown, ours: number): number {
  return typeof given === "number" && given > 0 ? Math.min(given, ours) : ours;
}

function proofOf(token: string, side: "daemon" | "client", nonces: string): string {
  return hmacSha256Hex(token, `rum daemon socket ${side} ${nonces}`);
}

function read<T>(shape: Shape<T>, frame: { value: unknown } | undefined, wanted: string): T {
  if (frame === undefined) {
    throw new RumError("protocol_error", `The connection ended where ${wanted} was wanted`);
  }
  const refusal = (frame.value as { error?: unknown } | null)?.error;
  if (refusal !== undefined) throw errorFromWire(refusal);
  try {
    return shape(frame.value, "");
  } catch (thrown) {
    if (!(thrown instanceof ShapeError)) throw thrown;
    throw new RumError("protocol_error", `Wanted ${wanted}: ${thrown.message}`);
  }
}
