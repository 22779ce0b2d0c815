/**
 * Where the daemon meets words of rum.toml that nobody may have approved: before a hypervisor is
 * opened, and before a hook runs. Every plan is checked as a whole by `plan_source.ts`; what changes
 * under a running machine is told by `drift.ts`; this is the rest. SPEC section 11.
 */
import { toRumError } from "../base/errors.ts";
import { loadConfig } from "../config/load.ts";
import { hookKeyOf, hostKeysOf } from "../config/trust.ts";
import type { Config, HookConfig } from "../config/types.ts";
import type { HostEnv, RumPaths } from "../plan/paths.ts";
import { requireApprovedKey, requireUnchanged } from "../store/trust_store.ts";

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

/** @throws {RumError} `untrusted_config` unless this very hook is approved, its files included */
export async function requireApprovedHook(
  rum: RumPaths,
  configPath: string,
  hook: HookConfig,
): Promise<void> {
  await requireApprovedKey(rum, configPath, hookKeyOf(hook));
  await requireUnchanged(hook.files);
}
