/**
 * `deno task test`: everything that decides whether main is good, on a bare machine, ending in one
 * line `N passed, N failed`. What runs: packages, format, lint, types, then the suites. Test files run two
 * at a time where they only compute or start processes, which wait most of the time; those that boot
 * machines, change the host, or count what this very process has, run alone.
 *
 *   --full         FULL=1: the sizes that the issues ask for
 *   --check-only   format, lint and types
 *   --only SUITE   one suite: unit, contract, process, e2e (layers come with unit)
 */
import {
  IMAGE_PACKAGES,
  installPackages,
  RUN_PACKAGES,
  TEST_PACKAGES,
} from "./support/host_packages.ts";
import { removeWhole, sandbox, stopEverything } from "./support/rum.ts";

const ROOT = new URL("../", import.meta.url).pathname;

interface Tally {
  passed: number;
  failed: number;
  skipped: number;
}

interface Suite {
  readonly name: string;
  readonly paths: readonly string[];
  readonly parallel: boolean;
  /** Of those paths, what runs alone and after the rest. */
  readonly alone?: readonly string[];
}

/** Mounts, a libvirtd or a QEMU of their own; libvirt loaded into the test's process, its threads counted. */
const ALONE: readonly string[] = [
  "binary_chroot",
  "binary_packing",
  "binary_situations",
  "daemon_idle",
  "libvirt_errors",
  "libvirt_leaks",
  "libvirt_restart",
  "module_age",
  "mux_links",
].map((name) => `tests/process/${name}_test.ts`);

const SUITES: readonly Suite[] = [
  { name: "unit", paths: ["tests/layers_test.ts", "tests/unit"], parallel: true },
  { name: "contract", paths: ["tests/contract"], parallel: false },
  { name: "process", paths: ["tests/process"], parallel: true, alone: ALONE },
  { name: "e2e", paths: ["tests/e2e"], parallel: false },
];

const WANT_BUILT = new Set(["process", "e2e"]);

const CHECKS: readonly { readonly name: string; readonly args: readonly string[] }[] = [
  { name: "format", args: ["fmt", "--check"] },
  { name: "lint", args: ["lint", "--quiet"] },
  { name: "types", args: ["check", "--quiet", "main.ts", "agent", "src", "ffi", "tests"] },
];

async function main(args: readonly string[]): Promise<number> {
  const full = args.includes("--full");
  const checkOnly = args.includes("--check-only");
  const only = args.includes("--only") ? args[args.indexOf("--only") + 1] : undefined;
  const started = performance.now();
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 };

  if (!checkOnly) {
    await installPackages([...RUN_PACKAGES, ...IMAGE_PACKAGES, ...TEST_PACKAGES], console.log);
    // What a package does not bring: the user that libvirt's driver looks for, groups.
    await deno(["run", "--allow-all", "main.ts", "doctor", "--fix", "-y"]);
  }
  if (only === undefined) {
    for (const check of CHECKS) {
      const ok = await step(check.name, async () => {
        const { success } = await deno(check.args);
        return success;
      });
      tally[ok ? "passed" : "failed"]++;
    }
  }
  await using shared = await sharedHome();
  if (!checkOnly) {
    const built = await buildOnce(only);
    if (built !== undefined) {
      tally[built.ok ? "passed" : "failed"]++;
      // Those that try the built file itself take this one; end to end, it is the rum that runs.
      if (built.ok) Deno.env.set("RUM_TEST_BUILT", built.rum);
    }
    for (const suite of SUITES) {
      if (only !== undefined && only !== suite.name) continue;
      const paths = await existing(suite.paths);
      if (paths.length === 0) continue;
      await step(suite.name, async () => {
        const result = await runSuite(suite, paths, { full, home: shared.home });
        tally.passed += result.passed;
        tally.failed += result.failed;
        tally.skipped += result.skipped;
        return result.failed === 0;
      });
    }
  }
  console.log(`\nin ${Math.round((performance.now() - started) / 1000)} s`);
  const skipped = tally.skipped === 0 ? "" : `, ${tally.skipped} skipped`;
  console.log(`${tally.passed} passed, ${tally.failed} failed${skipped}`);
  return tally.failed === 0 && tally.passed > 0 ? 0 : 1;
}

/** The built file, once for all suites that want it. */
async function buildOnce(
  only: string | undefined,
): Promise<{ readonly ok: boolean; readonly rum: string } | undefined> {
  if (Deno.env.has("RUM_TEST_BINARY") || (only !== undefined && !WANT_BUILT.has(only))) {
    return undefined;
  }
  const ok = await step("build", async () => (await deno(["task", "build"])).success);
  return { ok, rum: `${ROOT}dist/rum` };
}

/** Where the end-to-end files share one machine; gone with it at the end. */
async function sharedHome(): Promise<{ readonly home: string } & AsyncDisposable> {
  const home = await Deno.makeTempDir({ prefix: "rum-run-" });
  return {
    home,
    async [Symbol.asyncDispose]() {
      await stopEverything(await sandbox({ shared: home }));
      // What was passed stays passed: a folder that is left is told, and fails nothing.
      await removeWhole(home).catch((error) => console.error(`${home} is left: ${error.message}`));
    },
  };
}

async function runSuite(
  suite: Suite,
  paths: readonly string[],
  options: { full: boolean; home: string },
): Promise<Tally> {
  const { parallel, alone } = suite;
  if (alone === undefined) return await runTests(suite.name, paths, { ...options, parallel });
  const rest = await runTests(suite.name, [...paths, `--ignore=${alone.join(",")}`], {
    ...options,
    parallel,
  });
  const one = await runTests(suite.name, alone, { ...options, parallel: false });
  return {
    passed: rest.passed + one.passed,
    failed: rest.failed + one.failed,
    skipped: rest.skipped + one.skipped,
  };
}

async function runTests(
  suite: string,
  args: readonly string[],
  { full, home, parallel }: { full: boolean; home: string; parallel: boolean },
): Promise<Tally> {
  const built = Deno.env.get("RUM_TEST_BUILT");
  const { success, text } = await deno([
    "test",
    "--allow-all",
    "--sanitize-ops",
    "--sanitize-resources",
    ...(parallel ? ["--parallel"] : []),
    ...args,
  ], {
    RUM_E2E_HOME: home,
    ...(full ? { FULL: "1" } : {}),
    ...(suite === "e2e" && built !== undefined ? { RUM_TEST_BINARY: built } : {}),
  });
  const counts =
    /(\d+) passed(?: \(\d+ steps?\))? \| (\d+) failed(?: \(\d+ steps?\))?(?: \| (\d+) ignored)?/
      .exec(text.split("\n").reverse().find((line) => /\d+ passed.*\d+ failed/.test(line)) ?? "");
  if (counts === null) return { passed: 0, failed: 1, skipped: 0 };
  const failed = Number(counts[2]);
  return {
    passed: Number(counts[1]),
    // A suite that ends badly without a failed test (a leak, an uncaught error) has failed all the same.
    failed: failed === 0 && !success ? 1 : failed,
    skipped: Number(counts[3] ?? 0),
  };
}

/** Longer than any test; one that never ends would take the others' results with it. */
const SILENT_MS = 20 * 60_000;

/** Runs deno, shows its output as it comes, and keeps the end of it. Ends it when nothing comes any more. */
async function deno(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ success: boolean; text: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: { NO_COLOR: "1", ...env },
  }).spawn();
  const decoder = new TextDecoder();
  let text = "";
  const hung = () => {
    console.log(`deno ${args[0]}: nothing was said for ${SILENT_MS / 60_000} minutes; ended`);
    child.kill("SIGKILL");
  };
  let watch = setTimeout(hung, SILENT_MS);
  const drain = async (stream: ReadableStream<Uint8Array>) => {
    for await (const chunk of stream) {
      clearTimeout(watch);
      watch = setTimeout(hung, SILENT_MS);
      await Deno.stdout.write(chunk);
      text = (text + decoder.decode(chunk, { stream: true })).slice(-20_000);
    }
  };
  await Promise.all([drain(child.stdout), drain(child.stderr)]);
  const { success } = await child.status;
  clearTimeout(watch);
  return { success, text };
}

async function step(name: string, work: () => Promise<boolean>): Promise<boolean> {
  const started = performance.now();
  console.log(`--- ${name}`);
  const ok = await work();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`--- ${name}: ${ok ? "ok" : "FAILED"} in ${seconds} s`);
  return ok;
}

async function existing(paths: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const path of paths) {
    if (path.endsWith(".ts") || await hasTests(ROOT + path)) found.push(path);
  }
  return found;
}

async function hasTests(folder: string): Promise<boolean> {
  try {
    for await (const entry of Deno.readDir(folder)) {
      if (entry.isFile && entry.name.endsWith("_test.ts")) return true;
      if (entry.isDirectory && await hasTests(`${folder}/${entry.name}`)) return true;
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return false;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
