/**
 * Text from a guest, a log or a foreign file, made safe to show: a hostile machine must not be able
 * to move the cursor, set a title or forge a line on the user's terminal (SPEC section 11).
 */

// CSI, OSC (ended by BEL or ST), other two-byte escapes, then any control left over.
const SEQUENCES =
  /\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?|\x9b[0-?]*[ -/]*[@-~]/g;
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Drops escape sequences and controls; keeps line feeds and tabs. */
export function printable(text: string): string {
  return text.replace(SEQUENCES, "").replace(CONTROLS, "");
}

/** One line: as `printable`, with line feeds and tabs folded to spaces, cut at `max` characters. */
export function printableLine(text: string, max = 4096): string {
  const line = printable(text).replace(/[\n\t]+/g, " ");
  return line.length > max ? line.slice(0, max - 1) + "…" : line;
}
