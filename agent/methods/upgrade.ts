/**
 * upgrade: a host with another agent replaces this one in place. Files that the running version has
 * with the same content (the runtime, nearly always) are taken over and not sent. The new version is
 * complete and on disk before it is named; then this process becomes it. Programs that run for a
 * host are ended; a provisioning script under way refuses the upgrade until it is through.
 */
import { createHash } from "../../src/base/hash.ts";
import { RumError } from "../../src/base/errors.ts";
import { upgradeParams } from "../../src/protocol/agent.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";
import { ownFolder } from "../facts.ts";
import { receiveFile } from "../files/receive.ts";
import { makeCurrent, programFolder, sealProgram } from "../program.ts";

export async function upgrade(call: Call, context: AgentContext): Promise<unknown> {
  const { digest, files } = call.params(upgradeParams);
  if (!/^[0-9a-f]{16,128}$/.test(digest) || !files.some((file) => file.name === "rum-agent")) {
    throw new RumError("invalid_params", "An agent is named by its digest and has a program");
  }
  // Its folder is in use: nothing to do, and nothing to remove.
  if (digest === context.facts.digest) {
    await call.event({ need: [] });
    return { restarting: false };
  }
  if (context.provisioner.running) {
    throw new RumError("busy", "A provisioning script is running; the agent is replaced after it");
  }
  const folder = programFolder(context.options, digest);
  await Deno.remove(folder, { recursive: true }).catch(() => {});
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  const need: typeof files = [];
  for (const file of files) {
    const own = `${ownFolder()}/${file.name}`;
    if (await hashOf(own) === file.sha256) await Deno.copyFile(own, `${folder}/${file.name}`);
    else need.push(file);
  }
  await call.event({ need });
  for (const file of need) {
    const got = await receiveFile(call, { path: `${folder}/${file.name}` });
    if (got.sha256 !== file.sha256) {
      throw new RumError("protocol_error", `The agent's "${file.name}" is not what was announced`);
    }
  }
  for (const file of files) await Deno.chmod(`${folder}/${file.name}`, 0o755);
  await sealProgram(folder, digest);
  await makeCurrent(context.options, digest);
  await call.finish({ restarting: true });
  // A moment for the answer to leave; the host sees the link end and says hello anew.
  setTimeout(() => context.restart(`replaced by ${digest.slice(0, 16)}`), 200);
  return undefined;
}

async function hashOf(path: string): Promise<string | undefined> {
  try {
    const hash = createHash("sha256");
    using file = await Deno.open(path);
    const buffer = new Uint8Array(256 * 1024);
    for (let n = await file.read(buffer); n !== null; n = await file.read(buffer)) {
      hash.update(buffer.subarray(0, n));
    }
    return hash.digest("hex");
  } catch {
    return undefined;
  }
}
