/**
 * The documents that cloud-init reads from the seed. They say as little as possible: who may log in
 * and how the agent starts. Everything else goes through the agent, so the seed rarely changes, and
 * a changed key or user needs no new instance-id.
 *
 * cloud-init parses YAML 1.1, where `yes`, `on`, `0777`, `1:20` and `<<` are no strings. So every
 * string is quoted; the emitter's own 1.1 mode leaves `<<` bare. It is loaded on first use.
 */
import { findEntry } from "../image/catalogue.ts";
import type { Plan } from "../plan/types.ts";
import { BOOT_COMMAND } from "./boot_script.ts";

export type GuestUser = Plan["user"] & { readonly authorizedKeys: readonly string[] };

/** No password, NOPASSWD sudo, keys; and the agent, as early as cloud-init can. */
export async function userData(user: GuestUser): Promise<string> {
  const document = {
    users: [{
      name: user.name,
      shell: user.shell,
      ...(user.groups.length === 0 ? {} : { groups: user.groups.join(", ") }),
      sudo: "ALL=(ALL) NOPASSWD:ALL",
      lock_passwd: true,
      ...(user.authorizedKeys.length === 0 ? {} : { ssh_authorized_keys: user.authorizedKeys }),
    }],
    disable_root: true,
    ssh_pwauth: false,
    // An RSA key alone takes ten seconds under emulation, and nobody asks for it.
    ssh_genkeytypes: ["ed25519"],
    // The agent tells the host its keys; printing them to the console costs a second.
    no_ssh_fingerprints: true,
    ssh: { emit_keys_to_console: false },
    // It asks debconf about boot disks that a virtual machine does not have.
    grub_dpkg: { enabled: false },
    // Else sudo waits for a name server to know the machine's own name.
    manage_etc_hosts: "localhost",
    bootcmd: [BOOT_COMMAND],
  };
  return `#cloud-config\n${await yaml(document)}`;
}

/**
 * The instance is the machine: a new one only with a new disk, which knows no old one.
 *
 * `dsmode: local` lets cloud-init do its work in its first stage instead of the second, which waits for
 * the network and starts Python anew: the agent is up seconds earlier. Not where the first stage may
 * come before the file system that holds /home: the user's folder would be made below it.
 */
export async function metaData(
  plan: {
    readonly id: string;
    readonly hostname: string;
    readonly image: { readonly base: string };
  },
): Promise<string> {
  return await yaml({
    "instance-id": `rum-${plan.id}`,
    "local-hostname": plan.hostname,
    ...(findEntry(plan.image.base)?.earlyCloudInit ? { dsmode: "local" } : {}),
  });
}

/**
 * Version 2, cards by their address: names depend on the bus, which changes with every disk. No
 * cards, no document.
 */
export async function networkConfig(nics: Plan["nics"]): Promise<string | undefined> {
  if (nics.length === 0) return undefined;
  const ethernets = nics.map((nic, index) => [`nic${index}`, {
    match: { macaddress: nic.mac },
    dhcp4: true,
    // Boot waits for the first card only; an isolated network may have nobody on it.
    ...(index === 0 ? {} : { optional: true }),
  }]);
  return await yaml({ version: 2, ethernets: Object.fromEntries(ethernets) });
}

async function yaml(document: unknown): Promise<string> {
  const { stringify } = await import("yaml");
  return stringify(document, {
    lineWidth: 0,
    aliasDuplicateObjects: false,
    defaultKeyType: "PLAIN",
    defaultStringType: "QUOTE_DOUBLE",
  });
}
