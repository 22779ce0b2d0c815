/**
 * Whether the hypervisor can be asked at all. A libvirtd that stops or restarts takes nothing from the
 * machine, which runs on; so the state machine makes nothing of it. But until it is back nobody can stop
 * or change the machine, and what is known of it is what was seen last: that is said.
 */
import type { FactInput } from "../machine/run.ts";
import type { EventBody } from "../protocol/machine_events.ts";

export interface HypervisorContact {
  observe(fact: FactInput): void;
  /** For `status`: empty while it answers. */
  degraded(): string[];
}

export function createHypervisorContact(
  { uri, emit }: { readonly uri: string; readonly emit: (event: EventBody) => void },
): HypervisorContact {
  let lost: string | undefined;
  return {
    observe(fact) {
      if (fact.kind === "hypervisor_lost") {
        lost = fact.detail;
        emit({
          kind: "warning",
          code: "hypervisor_unreachable",
          text: `The connection to the hypervisor at ${uri} was lost (${lost}); ` +
            "the machine is left as it is, and rum connects again by itself",
          hint: "rum doctor",
        });
      } else if (fact.kind === "hypervisor_back") {
        lost = undefined;
        emit({ kind: "note", text: `The hypervisor at ${uri} answers again` });
      }
    },
    degraded: () =>
      lost === undefined
        ? []
        : [`the hypervisor does not answer (${lost}); the machine's state is the one seen last`],
  };
}
