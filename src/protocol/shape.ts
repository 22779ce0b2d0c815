/**
 * Checking what the other side sent: small readers that turn `unknown` into a typed value or say
 * where it does not fit. Hand-written because the agent carries it too, and a schema library would
 * cost the guest memory for three dozen fields. Unknown fields are dropped, never kept, so that an
 * answer of a newer agent is read by an older host and nothing unchecked travels on.
 */

/** Reads `value`, or throws a ShapeError that names `path`. */
export type Shape<T> = (value: unknown, path: string) => T;

export type Infer<S> = S extends Shape<infer T> ? T : never;

export class ShapeError extends Error {
  override readonly name = "ShapeError";
}

function refuse(path: string, wanted: string, value: unknown): never {
  const found = value === null ? "null" : Array.isArray(value) ? "an array" : typeof value;
  throw new ShapeError(`${path === "" ? "The value" : path} is ${found}, wanted ${wanted}`);
}

export function text(max = 4096): Shape<string> {
  return (value, path) => {
    if (typeof value !== "string") refuse(path, "a string", value);
    if (value.length > max) {
      throw new ShapeError(`${path} is ${value.length} characters long, wanted ≤ ${max}`);
    }
    return value;
  };
}

/** A string that may become a path or an argument: no NUL byte. */
export function cText(max = 4096): Shape<string> {
  const inner = text(max);
  return (value, path) => {
    const read = inner(value, path);
    if (read.includes("\0")) throw new ShapeError(`${path} holds a NUL byte`);
    return read;
  };
}

export function integer(min = 0, max = Number.MAX_SAFE_INTEGER): Shape<number> {
  return (value, path) => {
    if (typeof value !== "number" || !Number.isSafeInteger(value)) {
      refuse(path, "an integer", value);
    }
    if (value < min || value > max) {
      throw new ShapeError(`${path} is ${value}, wanted ${min} to ${max}`);
    }
    return value;
  };
}

export function real(): Shape<number> {
  return (value, path) => {
    if (typeof value !== "number" || !Number.isFinite(value)) refuse(path, "a number", value);
    return value;
  };
}

export function flag(): Shape<boolean> {
  return (value, path) => typeof value === "boolean" ? value : refuse(path, "a boolean", value);
}

export function oneOf<const W extends string>(...words: W[]): Shape<W> {
  return (value, path) => {
    const found = words.find((word) => word === value);
    return found ?? refuse(path, `one of ${words.join(", ")}`, value);
  };
}

export function list<T>(item: Shape<T>, max = 1024): Shape<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) refuse(path, "an array", value);
    if (value.length > max) {
      throw new ShapeError(`${path} has ${value.length} items, wanted ≤ ${max}`);
    }
    return value.map((each, i) => item(each, `${path}[${i}]`));
  };
}

export function record<T>(item: Shape<T>, max = 1024): Shape<Record<string, T>> {
  return (value, path) => {
    if (!isPlain(value)) refuse(path, "an object", value);
    const entries = Object.entries(value);
    if (entries.length > max) {
      throw new ShapeError(`${path} has ${entries.length} entries, wanted ≤ ${max}`);
    }
    // From entries, so that a key named __proto__ is only a key.
    return Object.fromEntries(entries.map(([key, each]) => [key, item(each, `${path}.${key}`)]));
  };
}

export function optional<T>(item: Shape<T>): Shape<T | undefined> {
  return (value, path) => value === undefined || value === null ? undefined : item(value, path);
}

type Fields = Readonly<Record<string, Shape<unknown>>>;
type OptionalKeys<F extends Fields> = {
  [K in keyof F]: undefined extends Infer<F[K]> ? K : never;
}[keyof F];
type Read<F extends Fields> =
  & { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]> }
  & { readonly [K in OptionalKeys<F>]?: Infer<F[K]> };

export function object<F extends Fields>(fields: F): Shape<Read<F>> {
  return (value, path) => {
    if (!isPlain(value)) refuse(path, "an object", value);
    const read: Record<string, unknown> = {};
    for (const [key, shape] of Object.entries(fields)) {
      const at = path === "" ? key : `${path}.${key}`;
      const found = shape(Object.hasOwn(value, key) ? value[key] : undefined, at);
      if (found !== undefined) read[key] = found;
    }
    return read as Read<F>;
  };
}

/** Anything JSON; for values that are passed on and shown, never acted upon. */
export function anything(): Shape<unknown> {
  return (value) => value;
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
