/**
 * KVM or emulation (SPEC section 9). Advertised is not usable: on some hosts /dev/kvm opens,
 * libvirt lists kvm, the firmware runs, and the stock kernel hangs at its first instructions (a
 * host kernel with PVM, where the CPU shows neither vmx nor svm). So three independent signs must
 * agree, and when one does not, the sentence says which.
 */
import { RumError } from "../base/errors.ts";
import type { Arch, DomainTypeChoice } from "./types.ts";

export interface KvmFacts {
  readonly arch: Arch;
  /** `[advanced] domain_type`. */
  readonly wanted: "auto" | "kvm" | "qemu";
  /**
   * Whether /dev/kvm opens for whoever runs QEMU: us, or the system daemon. `detail` is the part of
   * a sentence, "Permission denied". Absent where it cannot be asked (a remote host).
   */
  readonly device?: { readonly opens: boolean; readonly detail: string };
  /** libvirt's capabilities list a kvm domain type for this architecture. */
  readonly capabilitiesListKvm: boolean;
  /** The flags line of /proc/cpuinfo; absent on a remote host, ignored off x86. */
  readonly cpuFlags?: ReadonlySet<string>;
}

/**
 * @throws {RumError} `host_prerequisite` when kvm was asked for by name and cannot even be tried
 */
export function chooseDomainType(facts: KvmFacts): DomainTypeChoice {
  if (facts.wanted === "qemu") {
    return { type: "qemu", reason: 'Emulation: domain_type = "qemu" asks for it', warn: false };
  }
  const missing = hardMissing(facts);
  const noFlags = facts.arch === "x86_64" && facts.cpuFlags !== undefined &&
    !facts.cpuFlags.has("vmx") && !facts.cpuFlags.has("svm");
  if (facts.wanted === "kvm") {
    if (missing !== undefined) {
      throw new RumError(
        "host_prerequisite",
        `Cannot use KVM, which domain_type = "kvm" asks for: ${missing}`,
        { hint: "rum doctor" },
      );
    }
    return noFlags
      ? {
        type: "kvm",
        reason: 'KVM: domain_type = "kvm" asks for it, although the CPU shows neither vmx nor ' +
          "svm; a stock kernel may hang at once",
        warn: true,
      }
      : { type: "kvm", reason: 'KVM: domain_type = "kvm" asks for it', warn: false };
  }
  const why = missing ?? (noFlags ? "the CPU shows neither vmx nor svm" : undefined);
  if (why === undefined) return { type: "kvm", reason: "KVM is usable", warn: false };
  return { type: "qemu", reason: `Emulation, much slower than KVM: ${why}`, warn: true };
}

function hardMissing(facts: KvmFacts): string | undefined {
  if (facts.device !== undefined && !facts.device.opens) {
    return `/dev/kvm does not open (${facts.device.detail})`;
  }
  if (!facts.capabilitiesListKvm) return "libvirt does not list kvm for this host";
  return undefined;
}
