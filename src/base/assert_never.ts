/**
 * The end of every `switch` on a `kind`: the compiler proves that no variant is missing, and data
 * from outside that lies about its kind fails with a sentence instead of falling through.
 */
export function assertNever(value: never, what = "variant"): never {
  throw new TypeError(
    `Cannot handle ${what}: ${JSON.stringify(value)} is not one of the known ones`,
  );
}
