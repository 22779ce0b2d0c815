/**
 * `rum complete -- WORDS…`: what could stand in place of the last word, one per line; `:files` asks
 * the shell for file names. Never fails: a completion that prints an error is worse than none.
 */
import { EXIT } from "../base/errors.ts";
import type { RecordedPlan } from "../plan/types.ts";
import { optionWords } from "./option_words.ts";
import { GLOBAL_OPTIONS, TREE } from "./tree.ts";
import type { Context, OptionSpec, VerbCall, VerbSpec } from "./verb.ts";

/** What only this host knows; asked for only when the place wants it. */
export interface LiveWords {
  machines(): Promise<readonly string[]>;
  services(): Promise<readonly string[]>;
  ports(): Promise<readonly string[]>;
}

export async function run(context: Context, call: VerbCall): Promise<number> {
  const answers = await completionsFor(call.operands, liveWords(context)).catch(() => []);
  context.out.document("completions", { words: answers }, () => answers.join("\n"));
  return EXIT.ok;
}

export async function completionsFor(
  words: readonly string[],
  live: LiveWords,
): Promise<readonly string[]> {
  const before = words.slice(0, -1);
  const last = words.at(-1) ?? "";
  let verbs: readonly VerbSpec[] = TREE;
  let spec: VerbSpec | undefined;
  let pending: OptionSpec | undefined;
  for (const word of before) {
    if (pending !== undefined) {
      pending = undefined;
      continue;
    }
    if (word.startsWith("-")) {
      const option = [...(spec?.options ?? []), ...GLOBAL_OPTIONS].find((o) =>
        optionWords(o).names.includes(word)
      );
      if (option !== undefined && optionWords(option).value === "required") pending = option;
      continue;
    }
    const next: VerbSpec | undefined = verbs.find((v) =>
      v.name === word || v.aliases?.includes(word)
    );
    if (next === undefined) continue;
    spec = next;
    verbs = next.verbs ?? [];
  }
  const fits = (candidates: readonly string[]) => candidates.filter((c) => c.startsWith(last));
  if (pending !== undefined) return fits(await valuesOf(pending.completes, live));
  if (last.startsWith("-")) {
    return fits(
      [...(spec?.options ?? []), ...GLOBAL_OPTIONS].filter((o) => !o.hidden).flatMap((o) =>
        optionWords(o).names.filter((n) => n.startsWith("--") || last.length <= 2)
      ),
    );
  }
  if (verbs.length > 0) return fits(verbs.filter((v) => !v.hidden).map((v) => v.name));
  return fits(await valuesOf(spec?.operandCompletes, live));
}

function valuesOf(
  kind: OptionSpec["completes"],
  live: LiveWords,
): Promise<readonly string[]> {
  switch (kind) {
    case undefined:
      return Promise.resolve([]);
    case "machines":
      return live.machines();
    case "services":
      return live.services();
    case "ports":
      return live.ports();
    case "files":
      return Promise.resolve([":files"]);
    default:
      return Promise.resolve(kind);
  }
}

function liveWords(context: Context): LiveWords {
  return {
    async machines() {
      const { listMachines } = await import("../store/list_machines.ts");
      return (await listMachines(context.paths)).map((machine) => machine.name);
    },
    async services() {
      return (await recordedPlan(context))?.services.map((service) => service.name) ?? [];
    },
    async ports() {
      return (await recordedPlan(context))?.ports.map(({ host }) => String(host))
        .filter((port) => port !== "0") ?? [];
    },
  };
}

/** Of the machine that the words are about, as it was last brought up. */
async function recordedPlan(context: Context): Promise<RecordedPlan | undefined> {
  const [{ targetOf }, { readState }] = await Promise.all([
    import("./target.ts"),
    import("../store/state_file.ts"),
  ]);
  const reading = await readState((await targetOf(context)).paths);
  return reading.kind === "ok" ? reading.record.plan : undefined;
}
