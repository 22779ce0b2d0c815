/**
 * `deno task build` → `dist/rum` (one file, agent inside) and `dist/rum-agent`, and `dist/share` with
 * the man page and the completions.
 *
 * `deno compile` needs a runtime part, `denort`, that it downloads unless DENORT_BIN names one.
 * Where neither is to be had the same program is packed as a self-extracting file out of the deno
 * that runs this task. Which form came out is said here and by `rum version`; both are built from
 * the same bundles and pass the same tests.
 *
 *   --form auto|compiled|self-extracting   (default auto)
 *   --out DIR                              (default dist)
 */
import { AGENT_V8_FLAGS } from "../base/runtime_flags.ts";
import { type Build, VERSION } from "../base/version.ts";
import { COMPLETION_SCRIPTS } from "../cli/completions.ts";
import { AGENT_STUB } from "../guest/agent_payload.ts";
import { bundleAgent, bundleRum, ROOT } from "./bundle.ts";
import { buildCompiled } from "./compiled.ts";
import { pack, sha256 } from "./pack.ts";
import { manPage } from "./reference.ts";

interface Options {
  readonly form: "auto" | "compiled" | "self-extracting";
  readonly out: string;
}

async function main(args: readonly string[]): Promise<void> {
  const options = optionsFrom(args);
  await Deno.mkdir(options.out, { recursive: true });
  const work = await Deno.makeTempDir({ prefix: "rum-build-" });
  try {
    const form = await build(work, options, await gitCommit());
    await writeShare(`${options.out}/share`);
    for (const name of ["rum", "rum-agent"]) {
      const { size } = await Deno.stat(`${options.out}/${name}`);
      console.log(`${options.out}/${name}: ${form}, ${(size / 2 ** 20).toFixed(1)} MiB`);
    }
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

function optionsFrom(args: readonly string[]): Options {
  const value = (name: string) => {
    const at = args.indexOf(name);
    return at < 0 ? undefined : args[at + 1];
  };
  const form = value("--form") ?? "auto";
  if (form !== "auto" && form !== "compiled" && form !== "self-extracting") {
    throw new Error(`Cannot build the form "${form}": wanted auto, compiled or self-extracting`);
  }
  const out = value("--out") ?? `${ROOT}dist`;
  return { form, out: out.startsWith("/") ? out : `${Deno.cwd()}/${out}` };
}

async function build(work: string, options: Options, commit: string): Promise<Build["form"]> {
  await bundleAgent(`${work}/agent`);
  const program = await Deno.readTextFile(`${work}/agent/rum-agent.js`);
  const agentDigest = await sha256(
    new TextEncoder().encode(`${VERSION} ${Deno.version.deno} ${AGENT_STUB}\n${program}`),
  );
  if (options.form !== "self-extracting") {
    await bundleRum(`${work}/app`, { form: "compiled", commit, agentDigest });
    const reason = await buildCompiled({ work, out: options.out });
    if (reason === undefined) return "compiled";
    if (options.form === "compiled") throw new Error(`Cannot use deno compile: ${reason}`);
    console.log(`deno compile cannot be used here: ${reason}`);
    console.log("Packing the self-extracting form instead.");
  }
  await buildSelfExtracting(work, options.out, { form: "self-extracting", commit, agentDigest });
  return "self-extracting";
}

async function buildSelfExtracting(work: string, out: string, build: Build): Promise<void> {
  const rum = `${work}/payload/rum`;
  await bundleRum(`${rum}/app`, build);
  await Deno.copyFile(await Deno.realPath(Deno.execPath()), `${rum}/deno`);
  await Deno.chmod(`${rum}/deno`, 0o755);
  await Deno.mkdir(`${rum}/agent`);
  await Deno.copyFile(`${work}/agent/rum-agent.js`, `${rum}/agent/rum-agent.js`);
  await Deno.writeTextFile(`${rum}/agent/rum-agent`, AGENT_STUB, { mode: 0o755 });
  await pack({ name: "rum", folder: `${work}/payload`, out: `${out}/rum` });

  // The agent by itself, in the same form: runtime and program in one file.
  const solo = `${work}/solo/rum`;
  await Deno.mkdir(`${solo}/app`, { recursive: true });
  await Deno.copyFile(`${work}/agent/rum-agent.js`, `${solo}/app/rum-agent.js`);
  await Deno.link(`${rum}/deno`, `${solo}/deno`);
  const folder = `${work}/solo`;
  await pack({ name: "rum-agent", folder, out: `${out}/rum-agent`, v8Flags: AGENT_V8_FLAGS });
}

/** Laid out as below /usr/share and ~/.local/share. */
async function writeShare(share: string): Promise<void> {
  const files: Record<string, string> = {
    "man/man1/rum.1": manPage(),
    "bash-completion/completions/rum": COMPLETION_SCRIPTS.bash,
    "zsh/site-functions/_rum": COMPLETION_SCRIPTS.zsh,
    "fish/vendor_completions.d/rum.fish": COMPLETION_SCRIPTS.fish,
  };
  for (const [name, text] of Object.entries(files)) {
    await Deno.mkdir(`${share}/${name.slice(0, name.lastIndexOf("/"))}`, { recursive: true });
    await Deno.writeTextFile(`${share}/${name}`, text);
  }
}

async function gitCommit(): Promise<string> {
  try {
    const { success, stdout } = await new Deno.Command("git", {
      args: ["-C", ROOT, "rev-parse", "--short=12", "HEAD"],
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout).trim() : "unknown";
  } catch {
    return "unknown";
  }
}

if (import.meta.main) await main(Deno.args);
