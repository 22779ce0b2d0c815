/**
 * A yes or no before something that cannot be taken back: asked on a terminal; without one there is
 * nobody to ask, and the command is what was meant (SPEC section 2). `--no-input` on a terminal makes
 * an error of the question: whoever sits there did not say yes.
 */
import { RumError } from "../base/errors.ts";
import type { Context } from "./verb.ts";

type Asking = Pick<
  Context,
  "canAsk" | "globals" | "out" | "signal" | "stdinIsTerminal" | "stdoutIsTerminal"
>;

/**
 * `hint`: the command that needs no answer.
 *
 * @throws {RumError} `needs_confirmation`
 */
export async function confirmed(
  context: Asking,
  question: string,
  { hint }: { readonly hint: string },
): Promise<boolean> {
  if (context.canAsk) {
    const { askYesNo } = await import("../ui/prompts.ts");
    return await askYesNo(question, { signal: context.signal });
  }
  requireNoAnswer(context, question, { hint });
  return true;
}

/** Where nobody is asked: is that because nobody is there? @throws {RumError} `needs_confirmation` */
export function requireNoAnswer(
  { out, globals, stdinIsTerminal, stdoutIsTerminal }: Asking,
  question: string,
  { hint }: { readonly hint: string },
): void {
  const terminal = out.mode === "interactive" && stdinIsTerminal && stdoutIsTerminal;
  if (!terminal || !globals.noInput) return;
  throw new RumError("needs_confirmation", `Cannot ask "${question}": --no-input forbids it`, {
    hint,
  });
}
