import type { HypervisorChoice } from "../plan/types.ts";
import type { Hypervisor } from "./hypervisor.ts";
export class FakeHypervisor {
  static open(_c: HypervisorChoice): Promise<Hypervisor> {
    throw new Error();
  }
}
