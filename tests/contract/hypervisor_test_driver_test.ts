/** The hypervisor contract on libvirt's own test driver: real library, real calls, no machines. */
import { openHypervisor } from "../../src/libvirt/open.ts";
import { hypervisorContract } from "./hypervisor_contract.ts";

hypervisorContract({
  name: "test:///default",
  open: () => openHypervisor({ uri: "test:///default", kind: "test", reason: "test" }),
});
