/**
 * The same machine under a system libvirtd with the distribution's stock qemu.conf: QEMU as another
 * user, its own NAT network, the agent through libvirt's channel stream.
 */
import assert from "node:assert/strict";
import { machineToml } from "../support/machine.ts";
import { sandbox } from "../support/rum.ts";
import { startSystemLibvirtd } from "../support/system_libvirtd.ts";

Deno.test({
  name: "system libvirtd: up -d, exec, networks, down, up again, destroy",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using daemon = await startSystemLibvirtd();
    await using box = await sandbox({ prefix: "rum-sys-e2e-" });
    await box.config(
      await machineToml({
        name: "system",
        toml: `[advanced]\nlibvirt_uri = "${daemon.uri}"\n`,
      }),
    );
    // An explicit URI reaches the host: without an approval nothing is done.
    const refused = await box.rum(["up", "-d", "-o", "json"]);
    assert.equal(refused.code, 3, refused.stderr);
    assert.equal(refused.error.code, "untrusted_config");
    await box.ok(["trust", "-y"]);

    await box.ok(["up", "-d"], { timeoutMs: 900_000 });
    assert.equal((await box.ok(["exec", "--", "id", "-un"])).stdout, "root\n");
    const { json } = await box.ok(["status", "-o", "json"]);
    assert.match(json.agent.transport, /libvirt channel/);
    assert.equal(json.hypervisor.uri, daemon.uri);
    await box.ok(["down"]);
    await box.ok(["destroy", "-y"]);
    assert.equal((await box.ok(["status", "-o", "json"])).json.phase, "absent");
  },
});
