/**
 * hello: both sides prove the token, the protocol number is agreed, the token is rotated, and the
 * host learns what this guest is. One call, three steps: our challenge and proof, the host's proof,
 * our facts. We prove first, so that a host never sends anything to a squatter on the channel.
 */
import { RumError } from "../../src/base/errors.ts";
import { VERSION } from "../../src/base/version.ts";
import {
  AGENT_PROTOCOL,
  type HelloInfo,
  helloParams,
  helloProof,
} from "../../src/protocol/agent.ts";
import { KIND } from "../../src/protocol/calls.ts";
import { isToken, maskToken, newNonce, proofOf, sameProof } from "../../src/protocol/proof.ts";
import { parseJson } from "../../src/wire/json.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";
import { addresses, osRelease, readText, uptimeMs } from "../facts.ts";

const CAPABILITIES = [
  "exec",
  "pty",
  "apply",
  "provision",
  "dial",
  "listeners",
  "files",
  "time",
  "upgrade",
  "stats",
  "services",
];

export async function hello(call: Call, context: AgentContext): Promise<HelloInfo> {
  const params = call.params(helloParams);
  const protocol = Math.min(params.protocol.max, AGENT_PROTOCOL.max);
  if (protocol < Math.max(params.protocol.min, AGENT_PROTOCOL.min)) {
    throw new RumError(
      "version_mismatch",
      `The agent ${VERSION} speaks protocol ${AGENT_PROTOCOL.min} to ${AGENT_PROTOCOL.max}, ` +
        `the host ${params.protocol.min} to ${params.protocol.max}`,
    );
  }
  const held = await context.token.read();
  if (held === undefined) {
    throw new RumError("unauthorized", "The agent found no token, on the seed or in its state");
  }
  const nonces = { host: params.nonce, agent: newNonce() };
  await call.event({
    nonce: nonces.agent,
    proof: await proofOf(held.token, "agent", nonces),
    protocol,
    token: held.from,
  });

  const answer = await call.records.next();
  if (answer?.kind !== KIND.params) {
    throw new RumError("protocol_error", "The host's proof is missing from its hello");
  }
  const proof = helloProof(parseJson(answer.payload, "The host's proof"), "");
  if (!sameProof(proof.proof, await proofOf(held.token, "host", nonces))) {
    throw new RumError("unauthorized", "The host did not prove the machine's token");
  }
  if (proof.rotate !== undefined) {
    const next = await maskToken(held.token, proof.rotate, nonces);
    if (!isToken(next)) throw new RumError("protocol_error", "The next token is not a token");
    await context.token.replace(next);
  }
  call.session.authenticated = true;
  context.host.hello();
  context.log.write(`hello from a host of rum ${params.version}`);
  return await describeGuest(context, protocol);
}

async function describeGuest(context: AgentContext, protocol: number): Promise<HelloInfo> {
  const { facts, options } = context;
  const marks = await context.provisioner.marks.read();
  return {
    version: VERSION,
    digest: facts.digest,
    instance: facts.instance,
    bootId: facts.bootId,
    protocol,
    capabilities: CAPABILITIES,
    hostname: Deno.hostname(),
    addresses: addresses(),
    os: await osRelease(options.root),
    kernel: (await readText("/proc/sys/kernel/osrelease")).trim(),
    uptimeMs: await uptimeMs(),
    nowMs: Date.now(),
    firstBootDone: marks.sentinel,
    doneScripts: marks.done,
  };
}
