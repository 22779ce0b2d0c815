/**
 * Which keys of rum.toml reach the host, as a list to approve and a hash to remember it by.
 *
 * rum.toml may be written by the guest (a read-write mount of the project) or come with a cloned
 * repository (SPEC section 11). Everything a key of this list can do, it could do to the person who
 * runs rum; so each is shown with its value and why, and applies only once approved. The hash covers
 * keys and values, hooks' files inside the project with their content; nothing else, so that editing
 * a script or a port asks nobody. Pure: what is known of the disk is in Config already.
 */
import { isInside } from "../base/posix_path.ts";
import { sha256Hex } from "../base/sha256.ts";
import { isLoopback } from "./addresses.ts";
import { fileText } from "./command_files.ts";
import type { Config, FileDigest, HookConfig } from "./types.ts";

export interface HostKey {
  /** The key as rum.toml spells it: `on.ready.exec`, `mounts[0].source`. */
  readonly key: string;
  readonly value: string;
  /** What it can do to the host, to be read after "because it". */
  readonly why: string;
}

export function hostKeysOf(config: Config): HostKey[] {
  const keys: HostKey[] = [];
  const outside = (key: string, path: string | undefined, why: string) => {
    if (path === undefined || isInside(config.folder, path)) return;
    keys.push({ key, value: path, why });
  };
  const exposed = (key: string, bind: string, what: string) => {
    if (isLoopback(bind)) return;
    keys.push({ key, value: `${bind} ${what}`, why: "opens a port to other machines" });
  };

  if (config.image.kind === "path") {
    outside("image.base", config.image.base, "reads a file outside the project");
  }
  for (const name of ["system", "boot"] as const) {
    outside(
      `provision.${name}.file`,
      config.provision[name]?.file,
      "sends a file from outside the project to the guest",
    );
  }
  if (config.ssh.command !== "ssh") {
    keys.push({
      key: "ssh.command",
      value: commandText([config.ssh.command], config.ssh.commandFile),
      why: "runs a program on this host",
    });
  }
  config.mounts.forEach((mount, i) =>
    outside(
      `mounts[${i}].source`,
      mount.source,
      `lets the guest ${mount.readonly ? "read" : "read and write"} a folder outside the project`,
    )
  );
  config.ports.forEach(({ bind, host, guest, proto }, i) =>
    exposed(`ports[${i}].bind`, bind, `port ${host} to guest ${guest}/${proto}`)
  );
  if (config.autoPorts !== undefined) {
    const { bind, from, to } = config.autoPorts;
    exposed("auto_ports.bind", bind, `ports ${from}-${to}, as the guest opens them`);
  }
  for (const service of config.services) {
    outside(
      `services.${service.name}.env_file`,
      service.envFile,
      "sends a file from outside the project to the guest",
    );
  }
  keys.push(...config.hooks.map(hookKeyOf));
  outside(
    "tasks.screenshot.folder",
    config.screenshotTask?.folder,
    "writes files outside the project",
  );
  if (config.advanced.libvirtUri !== "auto") {
    keys.push({
      key: "advanced.libvirt_uri",
      value: config.advanced.libvirtUri,
      why: "chooses the hypervisor that is spoken to, with your rights",
    });
  }
  return keys;
}

/** A hook's own key, to be looked up among the approved ones right before it runs. */
export function hookKeyOf(hook: HookConfig): HostKey {
  return {
    key: `on.${hook.event}.exec`,
    value: commandText(hook.exec, ...hook.files),
    why: "runs a command on this host",
  };
}

/** One hash over what is approved; undefined when there is nothing to approve. */
export function trustHash(keys: readonly HostKey[]): string | undefined {
  if (keys.length === 0) return undefined;
  const lines = keys.map(fingerprintOf).sort();
  return sha256Hex("rum trust 1\n" + lines.join("\n"));
}

/** One key as approved. The reason belongs to it: read-only made read-write is a new question. */
export function fingerprintOf({ key, value, why }: HostKey): string {
  // A list's place is not part of the question: moving a mount up approves nothing new.
  return JSON.stringify([key.replace(/\[\d+\]/g, "[]"), value, why]);
}

/** Words as JSON, so that `["a b"]` and `["a", "b"]` differ, then the files with their content. */
function commandText(words: readonly string[], ...files: (FileDigest | undefined)[]): string {
  const digests = files.flatMap((file) => file === undefined ? [] : [fileText(file)]);
  return JSON.stringify(words) + (digests.length === 0 ? "" : ` with ${digests.join(", ")}`);
}
