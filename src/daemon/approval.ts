/**
 * Where the daemon meets words of rum.toml that nobody may have approved: before a hypervisor is
 * opened, before a hook runs, and whenever the file changes under a running machine. Every plan is
 * checked as a whole by `plan_source.ts`; this is the rest. SPEC section 11.
 */
import { RumError, toRumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import { loadConfig } from "../config/load.ts";
import { hookKeyOf, hostKeysOf } from "../config/trust.ts";
import type { Config, HookConfig } from "../config/types.ts";
import { diffPlans, renderChanges } from "../plan/diff.ts";
import type { HostEnv, RumPaths } from "../plan/paths.ts";
import type { RecordedPlan } from "../plan/types.ts";
import type { EventBody } from "../protocol/machine_events.ts";
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

/**
 * What rum.toml says that the machine does not do, as sentences for `status`. A file that asks for
 * something unapproved is told once more, as an event, because somebody may have written it who
 * should not.
 */
export function createDriftLook(
  wanted: (recorded: RecordedPlan) => Promise<RecordedPlan>,
  emit: (event: EventBody) => void,
): (recorded: RecordedPlan | undefined) => Promise<readonly string[]> {
  let told: string | undefined;
  return async (recorded) => {
    if (recorded === undefined) return [];
    try {
      const changes = diffPlans(recorded, await wanted(recorded));
      told = undefined;
      return renderChanges(changes);
    } catch (thrown) {
      const error = toRumError(thrown);
      const [first] = error.message.split("\n");
      if (error.code !== "untrusted_config") return [`rum.toml cannot be used now: ${first}`];
      const text = `rum.toml was changed and is not followed: ${first} ${freshKeys(error)}`.trim();
      if (text !== told) emit({ kind: "warning", code: error.code, text, hint: "rum trust" });
      told = text;
      return [text];
    }
  };
}

/** The keys that were not in the last approval, by name. */
function freshKeys({ data }: RumError): string {
  const fresh = Array.isArray(data?.fresh) ? data.fresh : [];
  return printableLine(fresh.join(", "), 500);
}
