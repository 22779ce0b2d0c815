/** `--minutes 60` of a task's arguments; undefined when the option is not there. */
export function numberAfter(args: readonly string[], option: string): number | undefined {
  const at = args.indexOf(option);
  if (at < 0) return undefined;
  const value = Number(args[at + 1]);
  if (!Number.isFinite(value)) throw new Error(`${option} wants a number, found ${args[at + 1]}`);
  return value;
}
