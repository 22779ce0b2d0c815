/** The hypervisor contract on the fake. */
import { openHypervisor } from "../../src/libvirt/open.ts";
import { hypervisorContract } from "./hypervisor_contract.ts";

hypervisorContract({
  name: "fake",
  async open() {
    const folder = await Deno.makeTempDir({ prefix: "rum-fake-" });
    const hypervisor = await openHypervisor({
      uri: `fake://${folder}`,
      kind: "fake",
      reason: "test",
    });
    const close = hypervisor.close.bind(hypervisor);
    hypervisor[Symbol.asyncDispose] = async () => {
      await close();
      await Deno.remove(folder, { recursive: true });
    };
    return hypervisor;
  },
});
