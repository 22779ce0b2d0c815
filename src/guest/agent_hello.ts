/**
 * The host's half of hello. The agent proves the token first; a host tells nothing before that.
 * During a rotation a crash may leave either side with either token, so the store offers all that
 * may be right, newest first, and learns which one is when the agent has confirmed.
 */
import { RumError } from "../base/errors.ts";
import { VERSION } from "../base/version.ts";
import {
  AGENT_PROTOCOL,
  type GuestAddress,
  helloChallenge,
  type HelloInfo,
  helloInfo,
  helloParams,
} from "../protocol/agent.ts";
import { printableLine } from "../base/printable.ts";
import { KIND } from "../protocol/calls.ts";
import { maskToken, newNonce, newToken, proofOf, sameProof } from "../protocol/proof.ts";
import type { Mux } from "../wire/mux_types.ts";
import { AgentCall } from "./agent_call.ts";

export interface TokenStore {
  /** Every token that the agent may hold. */
  candidates(): Promise<readonly string[]>;
  /** Written down before the agent hears of it. */
  prepare(next: string): Promise<void>;
  /** The agent holds this one now; the others are forgotten. */
  confirm(token: string): Promise<void>;
}

/** @throws {RumError} `unauthorized` when no candidate is the agent's token */
export async function sayHello(
  mux: Mux,
  tokens: TokenStore,
  options: { signal?: AbortSignal } = {},
): Promise<HelloInfo> {
  const nonce = newNonce();
  const params = { nonce, protocol: AGENT_PROTOCOL, version: VERSION };
  helloParams(params, "");
  await using call = await AgentCall.open(mux, "hello", params, options);
  const first = await call.next(helloInfo);
  if (first.kind === "final" || first.record.kind !== KIND.event) {
    throw call.lied("answered hello without proving the token");
  }
  const challenge = call.read(first.record, helloChallenge);
  const nonces = { host: nonce, agent: challenge.nonce };
  const token = await tokenBehind(challenge.proof, nonces, await tokens.candidates());
  if (token === undefined) {
    throw new RumError(
      "unauthorized",
      "What answers as the guest agent does not hold this machine's token",
      { hint: "rum up --reset" },
    );
  }
  const rotates = challenge.token === "seed";
  const next = rotates ? newToken() : token;
  if (rotates) await tokens.prepare(next);
  await call.send(KIND.params, {
    proof: await proofOf(token, "host", nonces),
    rotate: rotates ? await maskToken(token, next, nonces) : undefined,
  });
  const info = await call.result(helloInfo);
  await tokens.confirm(next);
  return shown(info);
}

async function tokenBehind(
  proof: string,
  nonces: { host: string; agent: string },
  candidates: readonly string[],
): Promise<string | undefined> {
  for (const candidate of candidates) {
    if (sameProof(proof, await proofOf(candidate, "agent", nonces))) return candidate;
  }
  return undefined;
}

/** A guest's words about itself, fit for a terminal. */
function shown(info: HelloInfo): HelloInfo {
  return {
    ...info,
    version: printableLine(info.version),
    hostname: printableLine(info.hostname),
    kernel: printableLine(info.kernel),
    os: {
      id: printableLine(info.os.id),
      versionId: printableLine(info.os.versionId),
      prettyName: printableLine(info.os.prettyName),
    },
    capabilities: info.capabilities.map((each) => printableLine(each)),
    addresses: info.addresses.map(shownAddress),
  };
}

export function shownAddress(given: GuestAddress): GuestAddress {
  return {
    ...given,
    interface: printableLine(given.interface),
    address: printableLine(given.address),
  };
}
