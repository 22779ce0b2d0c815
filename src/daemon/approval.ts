/**
 * Where the daemon meets words of rum.toml that nobody may have approved: before a hypervisor is
 * opened, and before a hook runs. Every plan is checked as a whole by `plan_source.ts`; what changes
 * under a running machine is told by `drift.ts`; this is the rest. SPEC section 11.
 */
import { toRumError } from "../base/errors.ts";
import { dirname } from "../base/posix_path.ts";
import { printableLine } from "../base/printable.ts";
import { commandFiles, differingFile } from "../config/command_files.ts";
import { loadConfig } from "../config/load.ts";
import { diskReader } from "../config/read.ts";
import { hookKeyOf, hostKeysOf } from "../config/trust.ts";
import type { Config, HookConfig } from "../config/types.ts";
import type { HostEnv, RumPaths } from "../plan/paths.ts";
import { requireApprovedKey, unapprovedFile } from "../store/trust_store.ts";

/**
 * A URI may name a program to run (`qemu+ssh://…?command=`): not even looked at unapproved. Asked only
 * while no hypervisor is recorded, so nothing of the machine is at any: a file that is gone or broken
 * must not keep anyone from removing the rest of it.
 *
 * @throws {RumError} `untrusted_config`
 */
export async function approvedUri(
  configPath: string,
  rum: RumPaths,
  env: HostEnv,
): Promise<string> {
  const config = await goodConfig(configPath, env);
  if (config === undefined) return "auto";
  const key = hostKeysOf(config).find(({ key }) => key === "advanced.libvirt_uri");
  if (key !== undefined) await requireApprovedKey(rum, config.path, key);
  return config.advanced.libvirtUri;
}

/** Undefined when the file is not there, or is wrong. */
export async function goodConfig(configPath: string, env: HostEnv): Promise<Config | undefined> {
  try {
    return await loadConfig(configPath, { home: env.home });
  } catch (thrown) {
    if (toRumError(thrown).code.startsWith("config_")) return undefined;
    throw thrown;
  }
}

/**
 * What the hook runs is looked for anew and must be approved just so: the plan's word for it may be
 * from before the guest put a link, or another file, in its place. The disk is read last; the caller
 * runs the hook without another wait.
 *
 * @throws {RumError} `untrusted_config` unless this very hook is approved, its files included
 */
export async function requireApprovedHook(
  rum: RumPaths,
  config: { readonly path: string; readonly home: string },
  hook: HookConfig,
): Promise<void> {
  const options = { folder: dirname(config.path), reader: diskReader(config.home) };
  let files = hook.files;
  try {
    await requireApprovedKey(rum, config.path, async () => {
      files = await commandFiles(hook.exec, options).catch((cause) => {
        throw unapprovedFile(cause.message, { cause });
      });
      return hookKeyOf({ ...hook, files });
    });
  } catch (cause) {
    const other = differingFile(hook.files, files);
    if (other === undefined) throw cause;
    const path = other.via ?? other.path;
    throw unapprovedFile(`File ${printableLine(path)} has changed since`, { path, cause });
  }
}
