/** `rum config check|show|schema`: what the file says, before anything is done with it. */
import { EXIT, RumError } from "../base/errors.ts";
import { invalid } from "../config/render.ts";
import { checkNearest } from "./nearest_config.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const verb = call.verb.at(-1);
  switch (verb) {
    case "check":
      return await check(context);
    case "show":
      return await show(context);
    case "schema":
      return await showSchema(context);
    default:
      throw new RumError("usage", `Cannot run config ${verb}: wanted check, show or schema`, {
        hint: "rum config --help",
      });
  }
}

async function check(context: Context): Promise<number> {
  const { result, shownAs } = await checkNearest(context);
  if (result.kind === "bad") {
    throw invalid(result.diagnostics, { shownAs, colour: context.out.colour });
  }
  const { config, hostKeys } = result;
  const { trustStatus } = await import("../store/trust_store.ts");
  const { trusted } = await trustStatus({ config, paths: context.paths });
  context.out.document(
    "config_check",
    { path: config.path, name: config.name, host_keys: hostKeys, trusted },
    () =>
      `${shownAs} is good (machine ${config.name})` +
      (trusted ? "" : `; keys that reach this host wait for approval: rum trust`),
  );
  return EXIT.ok;
}

async function show(context: Context): Promise<number> {
  const { result, shownAs } = await checkNearest(context);
  if (result.kind === "bad") {
    throw invalid(result.diagnostics, { shownAs, colour: context.out.colour });
  }
  const { stringify } = await import("smol-toml");
  context.out.document(
    "config",
    { path: result.config.path, config: result.effective },
    () => stringify(result.effective),
  );
  return EXIT.ok;
}

async function showSchema(context: Context): Promise<number> {
  const { rumJsonSchema, schemaText } = await import("../config/json_schema.ts");
  context.out.document("config_schema", { schema: rumJsonSchema() }, schemaText);
  return EXIT.ok;
}
