/**
 * Questions on a terminal, over @clack/prompts, loaded when the first question is asked. Ctrl+C is
 * the answer "give up" and becomes `interrupted`, as it would anywhere else.
 */
import { RumError } from "../base/errors.ts";
import { BACK, type Prompter } from "../config/starter.ts";

const BACK_VALUE = "\0back";
const BACK_WORD = "<";

export function terminalPrompter(options: { signal: AbortSignal }): Prompter {
  const { signal } = options;
  return {
    async ask(question, { canGoBack }) {
      const clack = await import("@clack/prompts");
      const back = canGoBack ? ` (${BACK_WORD} goes back)` : "";
      const value = question.kind === "text"
        ? await clack.text({
          message: question.message + back,
          initialValue: question.initial,
          validate: (text) =>
            canGoBack && text?.trim() === BACK_WORD ? undefined : question.check(text ?? ""),
          signal,
        })
        : await clack.select<string>({
          message: question.message,
          initialValue: question.initial,
          options: [
            ...question.options.map(({ value, label }) => ({ value, label })),
            ...(canGoBack ? [{ value: BACK_VALUE, label: "back" }] : []),
          ],
          signal,
        });
      if (clack.isCancel(value)) throw givenUp(signal);
      const wentBack = value === BACK_VALUE ||
        (question.kind === "text" && canGoBack && value?.trim() === BACK_WORD);
      return wentBack ? BACK : value ?? "";
    },
  };
}

/** A yes-or-no question; Enter alone is no. */
export async function askYesNo(
  message: string,
  options: { signal: AbortSignal },
): Promise<boolean> {
  const clack = await import("@clack/prompts");
  const answer = await clack.confirm({ message, initialValue: false, signal: options.signal });
  if (clack.isCancel(answer)) throw givenUp(options.signal);
  return answer;
}

function givenUp(signal: AbortSignal): unknown {
  return signal.aborted ? signal.reason : new RumError("interrupted", "Interrupted by Ctrl+C");
}
