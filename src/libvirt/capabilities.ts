/** What the hypervisor can run, read out of libvirt's capabilities XML. Pure but for the parser. */

export interface Capabilities {
  /** The host's own architecture. */
  readonly arch: string;
  readonly guests: readonly GuestArch[];
  /** Users and groups QEMU runs as, where a security model tells: `+64055:+108`. */
  readonly dacLabel?: string;
}

export interface GuestArch {
  readonly arch: string;
  readonly emulator: string;
  /** Canonical names and their aliases: `pc-q35-7.2`, `q35`. */
  readonly machines: readonly string[];
  /** `qemu`, `kvm`. */
  readonly types: readonly string[];
}

export async function parseCapabilities(xml: string): Promise<Capabilities> {
  const { SaxesParser } = await import("saxes");
  const parser = new SaxesParser();
  const path: string[] = [];
  const guests: GuestArch[] = [];
  let arch = "";
  let guest:
    | { arch: string; emulator: string; machines: Set<string>; types: Set<string> }
    | undefined;
  let model = "";
  let dacLabel: string | undefined;
  let text = "";
  let failure: Error | undefined;
  parser.on("error", (error) => failure ??= error);
  parser.on("opentag", (tag) => {
    const { name } = tag;
    const attributes = tag.attributes as Record<string, string>;
    path.push(name);
    text = "";
    const where = path.join("/");
    if (where === "capabilities/guest/arch") {
      guest = { arch: attributes.name, emulator: "", machines: new Set(), types: new Set() };
    } else if (where === "capabilities/guest/arch/domain") {
      guest?.types.add(attributes.type);
    } else if (name === "machine" && attributes.canonical !== undefined) {
      guest?.machines.add(attributes.canonical);
    }
  });
  parser.on("text", (chunk) => text += chunk);
  parser.on("closetag", () => {
    const where = path.join("/");
    const value = text.trim();
    text = "";
    path.pop();
    switch (where) {
      case "capabilities/host/cpu/arch":
        arch = value;
        return;
      case "capabilities/host/secmodel/model":
        model = value;
        return;
      case "capabilities/host/secmodel/baselabel":
        if (model === "dac") dacLabel ??= value;
        return;
      case "capabilities/guest/arch/emulator":
        if (guest !== undefined) guest.emulator = value;
        return;
      case "capabilities/guest/arch/machine":
        guest?.machines.add(value);
        return;
      case "capabilities/guest/arch":
        if (guest !== undefined) {
          guests.push({ ...guest, machines: [...guest.machines], types: [...guest.types] });
        }
        guest = undefined;
    }
  });
  parser.write(xml).close();
  if (failure !== undefined) throw failure;
  return { arch, guests, dacLabel };
}

export function listsKvm(capabilities: Capabilities, arch: string): boolean {
  return capabilities.guests.some((guest) => guest.arch === arch && guest.types.includes("kvm"));
}
