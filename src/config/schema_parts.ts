/**
 * The words that the schema of rum.toml is written in: sizes, durations, names, ports, paths. Each
 * is a valibot schema whose messages say only what was *wanted* ("a size such as 2G"); shape.ts
 * puts the key and what was found before it. Each must be expressible in JSON Schema too
 * (json_schema.ts), so patterns are regular expressions and limits are min/max, not functions.
 */
import * as v from "valibot";
import { formatSize, parseDuration, parseSize } from "../base/units.ts";

/** What either() chose from, for those that read the schema instead of running it. */
const CHOICES = new WeakMap<object, readonly v.GenericSchema[]>();

export function choicesOf(
  schema: { readonly pipe?: readonly object[] },
): readonly v.GenericSchema[] | undefined {
  // v.pipe copies its root, so what is known of the root is found through the pipe.
  return CHOICES.get(schema) ??
    (schema.pipe === undefined ? undefined : CHOICES.get(schema.pipe[0]));
}

/** TOML's types, as the words that diagnostics use. */
export type Kind = "string" | "number" | "boolean" | "array" | "table" | "date" | "nothing";

export function kindOf(value: unknown): Kind {
  if (value === undefined || value === null) return "nothing";
  if (Array.isArray(value)) return "array";
  if (value instanceof Date) return "date";
  if (typeof value === "object") return "table";
  if (typeof value === "bigint") return "number";
  return typeof value as Kind;
}

export function kindOfSchema(schema: v.GenericSchema): Kind {
  const type = schema.type;
  if (type === "strict_object" || type === "record") return "table";
  if (type === "picklist") return "string";
  return type as Kind;
}

/**
 * Two shapes for one key, told apart by TOML type. Not v.union: that answers with one blurred issue
 * for all branches, while the type already says which branch was meant.
 */
export function either<A extends v.GenericSchema, B extends v.GenericSchema>(a: A, b: B) {
  const schema = v.lazy<A | B>((input) => kindOf(input) === kindOfSchema(b) ? b : a);
  CHOICES.set(schema, [a, b]);
  return schema;
}

/** A string of one pattern; `wanted` completes "wanted …". */
export function text(pattern: RegExp, wanted: string) {
  return v.pipe(v.string(), v.regex(pattern, wanted));
}

export function whole(min: number, max: number, what = "a whole number") {
  const wanted = `${what} from ${min} to ${max}`;
  return v.pipe(
    v.number(),
    v.integer(wanted),
    v.minValue(min, wanted),
    v.maxValue(max, wanted),
  );
}

const SIZE_PATTERN = /^\s*\d+(\.\d+)?\s*([KMGTkmgt]([iI]?[bB])?|[bB])?\s*$/;
const SIZE_WANTED = "a size such as 512M, 2G or 20GiB";

/** A size as text or as bytes. */
export function size(minBytes: number, maxBytes = 2 ** 50) {
  const least = `at least ${formatSize(minBytes)}`;
  const most = `at most ${formatSize(maxBytes)}`;
  return either(
    v.pipe(
      v.string(),
      v.regex(SIZE_PATTERN, SIZE_WANTED),
      v.check((s) => parseSize(s) !== undefined, "a size that can exist: a whole number of bytes"),
      v.check((s) => (parseSize(s) ?? 0) >= minBytes, least),
      v.check((s) => (parseSize(s) ?? 0) <= maxBytes, most),
    ),
    v.pipe(
      v.number(),
      v.integer(SIZE_WANTED),
      v.minValue(minBytes, least),
      v.maxValue(maxBytes, most),
    ),
  );
}

const DURATION_PATTERN = /^\s*\d+(\.\d+)?\s*([mM]?[sS]|[mM]|[hH])\s*$/;

export function duration(minMs = 1) {
  return v.pipe(
    v.string(),
    v.regex(DURATION_PATTERN, "a duration such as 250ms, 30s, 5m or 2h"),
    v.check((s) => (parseDuration(s) ?? 0) >= minMs, `at least ${minMs} ms`),
    v.check((s) => (parseDuration(s) ?? 0) <= 2 ** 31 - 1, "at most 596h, the longest timer"),
  );
}

export const machineName = text(
  /^[a-z0-9][a-z0-9-]{0,62}$/,
  "at most 63 of a-z, 0-9 and -, beginning with a letter or digit",
);
export const hostName = text(
  /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/,
  "a host name: at most 63 letters, digits and -, no - at either end",
);
/** Names of users and groups as useradd takes them. */
export const userName = text(
  /^[a-z_][a-z0-9_-]{0,31}$/,
  "at most 32 of a-z, 0-9, _ and -, beginning with a letter or _",
);
export const serviceName = text(
  /^[a-z0-9][a-z0-9_-]{0,47}$/,
  "at most 48 of a-z, 0-9, _ and -, beginning with a letter or digit",
);
/** A drive's name is part of its disk's serial, which virtio cuts at 20 bytes. */
export const driveName = text(
  /^[a-z0-9][a-z0-9-]{0,13}$/,
  "at most 14 of a-z, 0-9 and -, beginning with a letter or digit",
);
export const guestPath = text(
  /^\/[^\x00-\x1f\x7f]*$/,
  "an absolute path in the guest, without control characters",
);
export const hostPath = text(
  /^[^\x00-\x1f\x7f]+$/,
  "a path, without control characters",
);
const word = text(/^[^\x00]*$/, "a string without NUL");

/** A command as a list of words; never one string for a shell to split. */
export const argv = v.pipe(
  v.array(word),
  v.minLength(1, 'a list of at least one word, such as ["make", "test"]'),
);
export const port = whole(1, 65535, "a port");
export const sha256 = text(/^[0-9a-fA-F]{64}$/, "a SHA-256: 64 hexadecimal digits");

/** An IPv4 or IPv6 address; the exact check is in addresses.ts, this is what editors can see. */
export const address = text(/^[0-9A-Fa-f.:]+$/, "an IP address such as 127.0.0.1");

/** A key that may be left out, with what it then is, and one line of documentation. */
export function key<S extends v.GenericSchema, const D extends v.InferInput<S>>(
  schema: S,
  fallback: D,
  about: string,
) {
  return v.optional(v.pipe(schema, v.description(about)), fallback);
}

/** A key that may be left out and has no value then. */
export function maybe<S extends v.GenericSchema>(schema: S, about: string) {
  return v.optional(v.pipe(schema, v.description(about)));
}

/** A key that must be there. */
export function must<S extends v.GenericSchema>(schema: S, about: string) {
  return v.pipe(schema, v.description(about));
}
