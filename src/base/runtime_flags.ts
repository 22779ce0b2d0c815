/** Of every built form. */
export const UNSTABLE_FLAGS: readonly string[] = [
  "--unstable-vsock",
  // What a verb imports lazily is not even looked at before. deno.json says the same to a checkout.
  "--unstable-lazy-dynamic-imports",
];

/**
 * The flags that rum and its agent are started with wherever a program file is run by a deno beside
 * it: nothing is looked up, fetched or asked, and vsock may be used. `--unstable-vsock` prints
 * nothing; without it a vsock call would end the process (see src/wire/mux_vsock.ts).
 */
export const RUNTIME_FLAGS: readonly string[] = [
  "--quiet",
  "--no-config",
  "--no-lock",
  "--no-prompt",
  "--cached-only",
  "--allow-all",
  ...UNSTABLE_FLAGS,
];

/** The same for a checkout, whose deno.json names its packages. */
export const SOURCE_FLAGS: readonly string[] = ["--quiet", "--allow-all", "--unstable-vsock"];

/**
 * The agent waits most of the time, in guests of 256 MiB: V8 keeps less and collects earlier, and when
 * it is told to (collect_garbage.ts).
 */
export const AGENT_V8_FLAGS =
  "--max-old-space-size=256,--max-semi-space-size=1,--optimize-for-size,--expose-gc";
