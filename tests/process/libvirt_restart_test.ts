/**
 * The other end going away under a watching process: stopped (SIGSTOP: answers nothing, closes
 * nothing), killed with -9, and started again. A libvirtd of the test's own; needs root.
 */
import assert from "node:assert/strict";
import { openHypervisor } from "../../src/libvirt/open.ts";
import { refused } from "../contract/hypervisor_contract.ts";
import { SeenEvents } from "../support/machine_events.ts";
import { startSystemLibvirtd } from "../support/system_libvirtd.ts";
import { testXml, tinyRef } from "../support/tiny_machine.ts";

Deno.test({
  name: "libvirtd stopped, killed and started again: calls end in time, events flow again",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using libvirtd = await startSystemLibvirtd();
    const choice = { uri: libvirtd.uri, kind: "system", reason: "test" } as const;
    await using hypervisor = await openHypervisor(choice);
    const ref = tinyRef();
    const machine = hypervisor.machine(ref);
    using seen = new SeenEvents(machine);
    await seen.until({ kind: "state", state: "absent" });
    const network = hypervisor.network({ name: `rumt-${ref.id}`, uuid: ref.uuid });
    const xml = `<network><name>rumt-${ref.id}</name><uuid>${ref.uuid}</uuid>` +
      `<bridge name='rumt${ref.id}' stp='off'/></network>`;

    libvirtd.stop();
    await refused("hypervisor_stuck", machine.status({ deadlineMs: 300 }), "while stopped");
    libvirtd.cont();
    assert.equal((await machine.status()).state, "absent");

    libvirtd.stop();
    const inFlight = refused("hypervisor_unreachable", machine.status({ deadlineMs: 30_000 }));
    await libvirtd.kill();
    await inFlight;
    await seen.until({ kind: "connection", connected: false });
    const from = seen.all.length;
    await libvirtd.start();
    await seen.until({ kind: "connection", connected: true }, { from });

    // Registered again on the new connection: what happens now is seen.
    await machine.define(testXml(ref).replace("type='test'", "type='qemu'"));
    await seen.until({ kind: "lifecycle", event: "defined" }, { from });
    await seen.until({ kind: "state", state: "off" }, { from });
    await machine.undefine();

    await network.up(xml);
    assert.equal(await network.state(), "running");
    await network.up(xml);
    const stranger = hypervisor.network({ ...network.ref, uuid: crypto.randomUUID() });
    await refused("foreign_machine", stranger.down());
    await network.down();
    await network.down();
    assert.equal(await network.state(), "absent");
  },
});
