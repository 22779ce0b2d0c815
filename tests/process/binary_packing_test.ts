/**
 * `deno compile` packs the whole program, also where its runtime part cannot be had: with the full deno
 * in that part's place the file does not behave as rum, but the module graph is whole and every
 * embedded file is in it. Whether the result runs is for a host that has the part (release workflow).
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { bundleAgent, bundleRum } from "../../src/build/bundle.ts";
import { packAgent, packRum } from "../../src/build/compiled.ts";

Deno.test("deno compile packs the agent, and rum with the agent and the worker inside", async () => {
  const work = await Deno.makeTempDir({ prefix: "rum-packing-" });
  const before = Deno.env.get("DENORT_BIN");
  try {
    if (before === undefined) Deno.env.set("DENORT_BIN", await Deno.realPath(Deno.execPath()));
    const commit = "0123456789ab";
    await bundleAgent(`${work}/agent`);
    await bundleRum(`${work}/app`, { form: "compiled", commit, agentDigest: "digest-of-agent" });
    const options = { work, out: work };
    assert.equal(await packAgent(options), undefined);
    assert.equal(await packRum(options), undefined);

    const runtime = (await Deno.stat(Deno.env.get("DENORT_BIN")!)).size;
    const agent = await Deno.readFile(`${work}/compiled/agent/rum-agent`);
    const rum = await Deno.readFile(`${work}/rum`);
    assert.ok(agent.length > runtime, "the agent is no larger than the runtime alone");
    assert.ok(rum.length > runtime + agent.length, "rum has no agent inside");
    const added = Buffer.from(rum.buffer, runtime);
    for (const text of [commit, "digest-of-agent", "libvirt_worker.js", "rum-agent"]) {
      assert.ok(added.includes(text), `${text} is not in the packed file`);
    }
  } finally {
    if (before === undefined) Deno.env.delete("DENORT_BIN");
    await Deno.remove(work, { recursive: true });
  }
});
