/** From the words of `rum exec` to what the guest is asked to run. Pure. */
import { RumError } from "../base/errors.ts";

/** White space, and whatever a POSIX shell gives a meaning of its own. */
const FOR_A_SHELL = /[\s|&;<>()$`\\"'*?[\]#~{}!]/;

/**
 * Several words are the argv, never joined. One word that only a shell could read is given to one.
 */
export function argvOf(operands: readonly string[]): string[] {
  return operands.length === 1 && FOR_A_SHELL.test(operands[0])
    ? ["sh", "-c", operands[0]]
    : [...operands];
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/**
 * `-e` pairs and the lines of an env file → variables; later ones win. A name alone passes on the
 * caller's own value, and nothing when the caller has none. Values are taken as they are: quotes
 * belong to them, as in Docker's env files.
 */
export function environmentOf(
  pairs: readonly { readonly text: string; readonly from: string }[],
  own: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const { text, from } of pairs) {
    const equals = text.indexOf("=");
    const name = equals === -1 ? text : text.slice(0, equals);
    if (!NAME.test(name)) {
      throw new RumError(
        "invalid_params",
        `Cannot set the variable "${name}" (${from}): wanted a name such as PATH, or NAME=value`,
      );
    }
    const value = equals === -1 ? own[name] : text.slice(equals + 1);
    if (value !== undefined) env[name] = value;
  }
  return env;
}

/** The lines of an env file that say something; the others are empty or begin with `#`. */
export function envFileLines(text: string, path: string): { text: string; from: string }[] {
  return text.replace(/^\uFEFF/, "").split(/\r?\n/).flatMap((line, index) => {
    const plain = line.replace(/^\s+/, "");
    return plain === "" || plain.startsWith("#")
      ? []
      : [{ text: plain, from: `${path}:${index + 1}` }];
  });
}
