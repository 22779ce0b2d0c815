/**
 * What this build is. The one place a version number stands (a test keeps deno.json in step);
 * `deno task build` sets `__RUM_BUILD__` in the bundle, so nothing is computed or read at start.
 */
export const VERSION = "0.1.0";

export interface Build {
  readonly form: "source" | "compiled" | "self-extracting";
  readonly commit: string;
  /** Digest of the agent inside; empty when run from a checkout, where it is computed. */
  readonly agentDigest: string;
}

/** Stands at the top of the one bundled file that holds this module. */
declare const __RUM_BUILD__: Build | undefined;

/** `source` when run from a checkout. */
export const BUILD: Build = typeof __RUM_BUILD__ === "undefined"
  ? { form: "source", commit: "unknown", agentDigest: "" }
  : __RUM_BUILD__;
