/**
 * What lies on a seed, as a list of files, and the hash that names it. The hash covers everything
 * but the token: a token rotates, and a rotated one must not make every machine's seed new.
 */
import { createHash } from "../base/hash.ts";
import type { IsoFile, IsoSource } from "../image/iso9660.ts";
import type { Plan } from "../plan/types.ts";
import {
  AGENT_UNIT,
  autologinDropIn,
  BOOT_SCRIPT,
  GENERATOR_SCRIPT,
  START_SCRIPT,
} from "./boot_script.ts";
import { metaData, networkConfig, userData } from "./documents.ts";

export interface SeedOptions {
  /** Opens a file of the agent's program by its path on this host. */
  readonly open: (path: string) => ReturnType<IsoSource["open"]>;
  /** The machine's own public key, beside those of rum.toml. */
  readonly machineKey: string;
  /** As it is written to the seed: 32 bytes in hex. */
  readonly token: string;
}

export interface Seed {
  /** 16 hex over everything but the token. */
  readonly hash: string;
  /** For `isoImage(files, { label: SEED_LABEL })`. */
  readonly files: readonly IsoFile[];
}

export async function makeSeed(
  plan: Pick<Plan, "id" | "hostname" | "image" | "user" | "ssh" | "nics" | "autologin" | "agent">,
  options: SeedOptions,
): Promise<Seed> {
  const keys = [options.machineKey.trim(), ...plan.ssh.authorizedKeys];
  const network = await networkConfig(plan.nics);
  const told = [
    file("meta-data", await metaData(plan)),
    file("user-data", await userData({ ...plan.user, authorizedKeys: [...new Set(keys)] })),
    ...(network === undefined ? [] : [file("network-config", network)]),
    file("rum-agent.digest", `${plan.agent.digest}\n`),
    file("rum-agent.service", AGENT_UNIT),
    file("rum-boot.sh", BOOT_SCRIPT),
    file("rum-generator", GENERATOR_SCRIPT),
    file("rum-start.sh", START_SCRIPT),
    ...(plan.autologin ? [file("rum-autologin.conf", autologinDropIn(plan.user.name))] : []),
  ];
  const programs = plan.agent.files.map((program): IsoFile => ({
    name: program.name,
    mode: program.mode,
    content: { sizeBytes: program.bytes, open: () => options.open(program.path) },
  }));
  return {
    hash: hashOf(told, plan.agent),
    files: [...told, ...programs, file("token", `${options.token}\n`, 0o600)],
  };
}

interface TextFile extends IsoFile {
  readonly content: Uint8Array;
}

/** Programs count by their digest, not by their hundred megabytes. */
function hashOf(files: readonly TextFile[], agent: Plan["agent"]): string {
  const hash = createHash("sha256");
  for (const { name, mode, content } of files) {
    hash.update(`${name} ${mode} ${content.length}\n`).update(content);
  }
  for (const { name, mode, bytes } of agent.files) hash.update(`${name} ${mode} ${bytes}\n`);
  return hash.digest("hex").slice(0, 16);
}

function file(name: string, text: string, mode = 0o644): TextFile {
  return { name, mode, content: new TextEncoder().encode(text) };
}
