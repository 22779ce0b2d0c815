/**
 * `rum trust`: approve the keys of this rum.toml that reach the host, or no longer. Also how every other verb asks
 * for that approval before it applies anything (`ensureTrusted`).
 */
import { EXIT, RumError } from "../base/errors.ts";
import type { Config } from "../config/types.ts";
import {
  approve,
  requireTrust,
  revoke,
  trustList,
  type TrustStatus,
  trustStatus,
} from "../store/trust_store.ts";
import { nearestConfigPath } from "./config_path.ts";
import { nearestConfig } from "./nearest_config.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  if (call.options.revoke === true) return await takeBack(context);
  const config = await nearestConfig(context);
  const options = { config, paths: context.paths, signal: context.signal };
  const status = await trustStatus(options);
  if (call.options.show === true || status.trusted) return tell(context, config, status);
  if (call.options.yes !== true) {
    if (!context.canAsk) {
      throw new RumError(
        "needs_confirmation",
        `Cannot ask whether ${config.path} may reach this host: no terminal\n${trustList(status)}`,
        { hint: "rum trust --yes", data: { path: config.path, keys: status.keys } },
      );
    }
    if (!await ask(context, config, status)) {
      throw new RumError("untrusted_config", `Configuration ${config.path} was not approved`, {
        hint: "rum trust",
      });
    }
  }
  await approve(options);
  return tell(context, config, { ...status, trusted: true, fresh: [] });
}

/** By the file's place alone: it may say anything by now, or nothing that can be read. */
async function takeBack(context: Context): Promise<number> {
  const path = await Deno.realPath(await nearestConfigPath(context));
  const revoked = await revoke({ path, paths: context.paths, signal: context.signal });
  context.out.document(
    "trust_revoked",
    { path, revoked },
    () => `${path}: ${revoked ? "no longer approved" : "was not approved"}`,
  );
  return EXIT.ok;
}

/**
 * Asks on a terminal, refuses otherwise.
 *
 * @throws {RumError} `untrusted_config`
 */
export async function ensureTrusted(context: Context, config: Config): Promise<void> {
  await requireTrust({
    config,
    paths: context.paths,
    signal: context.signal,
    canAsk: context.canAsk,
    ask: (status) => ask(context, config, status),
  });
}

async function ask(context: Context, config: Config, status: TrustStatus): Promise<boolean> {
  const { askYesNo } = await import("../ui/prompts.ts");
  context.out.note(`${config.path} has keys that reach this host:\n${trustList(status)}\n`);
  if (config.hooks.some(({ files }) => files.length > 0)) {
    context.out.note(
      "A command above lies inside the project: it is approved as it is now, but not what it loads " +
        "itself. A folder that the guest cannot write is the better place.\n",
    );
  }
  return await askYesNo("Approve them?", { signal: context.signal });
}

function tell(context: Context, config: Config, status: TrustStatus): number {
  context.out.document(
    "trust",
    {
      path: config.path,
      trusted: status.trusted,
      keys: status.keys,
      fresh: status.fresh.map(({ key }) => key),
    },
    () => {
      if (status.keys.length === 0) return `${config.path} has no keys that reach this host`;
      const head = status.trusted ? "approved" : "not approved";
      return `${config.path}: ${head}\n${trustList(status)}`;
    },
  );
  return EXIT.ok;
}
