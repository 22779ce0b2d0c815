/** `rum init`: writes a rum.toml, by questions or with `--defaults`; never over one that is there. */
import * as posix from "../base/posix_path.ts";
import { EXIT, RumError } from "../base/errors.ts";
import { shellWord } from "../base/shell_word.ts";
import { CONFIG_NAME } from "../config/find.ts";
import { checkConfig } from "../config/load.ts";
import { diskReader } from "../config/read.ts";
import { askAll, defaultAnswers, starterText } from "../config/starter.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const path = posix.resolve(context.cwd, context.globals.config ?? CONFIG_NAME);
  const folder = posix.dirname(path);
  if (await exists(path)) throw alreadyThere(path);
  if (!await exists(folder)) {
    throw new RumError("no_such_file", `Cannot write ${path}: there is no folder ${folder}`, {
      hint: `mkdir -p ${shellWord(folder)}`,
    });
  }
  let answers = defaultAnswers(posix.basename(folder));
  if (call.options.defaults !== true) {
    if (!context.canAsk) {
      throw new RumError("needs_confirmation", "Cannot ask how the machine is to be: no terminal", {
        hint: "rum init --defaults",
      });
    }
    const { terminalPrompter } = await import("../ui/prompts.ts");
    answers = await askAll(terminalPrompter({ signal: context.signal }), answers);
  }
  const text = starterText(answers);
  const result = await checkConfig(text, { path, folder, reader: diskReader(context.host.home) });
  if (result.kind === "bad") {
    throw new RumError(
      "internal",
      `Cannot write ${path}: it would be wrong, ${result.diagnostics[0].message}`,
    );
  }
  await writeNew(path, text);
  // Only a rum.toml is found without being named.
  const named = posix.basename(path) === CONFIG_NAME && folder === posix.resolve(context.cwd)
    ? ""
    : `-c ${shellWord(context.globals.config!)} `;
  const next = `rum ${named}up`;
  context.out.document(
    "init",
    { path, name: answers.name, image: answers.image },
    () => `Wrote ${path} (machine ${answers.name}, ${answers.image}). Next: ${next}`,
  );
  return EXIT.ok;
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw cannotWrite(path, error);
  }
}

/** createNew is O_EXCL: a file that came up while questions were asked is not overwritten either. */
async function writeNew(path: string, text: string): Promise<void> {
  try {
    await Deno.writeTextFile(path, text, { createNew: true });
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) throw alreadyThere(path);
    throw cannotWrite(path, error);
  }
}

function alreadyThere(path: string): RumError {
  return new RumError("already_exists", `Cannot write ${path}: it is there already`, {
    hint: "rum config check",
  });
}

function cannotWrite(path: string, cause: unknown): RumError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Deno.errors.NotFound ? "no_such_file" : "permission_denied";
  return new RumError(code, `Cannot write ${path}: ${why}`, { cause });
}
