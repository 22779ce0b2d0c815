/**
 * `deno task build` → `dist/rum` (one file, agent inside) and `dist/rum-agent`.
 *
 * `deno compile` needs a runtime part, `denort`, that it downloads unless DENORT_BIN names one.
 * Where neither is to be had the same program is packed as a self-extracting file out of the deno
 * that runs this task. Which form came out is said here and by `rum version`; both are built from
 * the same bundles and pass the same tests.
 *
 *   --form auto|compiled|self-extracting   (default auto)
 *   --out DIR                              (default dist)
 */
import { AGENT_STUB } from "../guest/agent_payload.ts";
import { type Build, VERSION } from "../base/version.ts";
import { bundle, runDeno } from "./bundle.ts";
import { selfExtractingHeader } from "./self_extracting.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

interface Options {
  readonly form: "auto" | "compiled" | "self-extracting";
  readonly out: string;
}

async function main(args: readonly string[]): Promise<void> {
  const options = optionsFrom(args);
  await Deno.mkdir(options.out, { recursive: true });
  const work = await Deno.makeTempDir({ prefix: "rum-build-" });
  try {
    const commit = await gitCommit();
    const agentDigest = await buildAgent(work);
    if (options.form !== "self-extracting") {
      const reason = await buildCompiled(work, options.out, {
        form: "compiled",
        commit,
        agentDigest,
      });
      if (reason === undefined) return await report(options.out, "compiled");
      if (options.form === "compiled") throw new Error(reason);
      console.log(`deno compile cannot be used here: ${reason}`);
      console.log("Packing the self-extracting form instead.");
    }
    await buildSelfExtracting(work, options.out, { form: "self-extracting", commit, agentDigest });
    await report(options.out, "self-extracting");
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

/** Bundles the agent and returns its digest: over program, stub and runtime version. */
async function buildAgent(work: string): Promise<string> {
  await bundle(["agent/main.ts"], { outdir: `${work}/agent-bundle`, splitting: false });
  await Deno.mkdir(`${work}/agent`);
  await Deno.rename(`${work}/agent-bundle/main.js`, `${work}/agent/rum-agent.js`);
  await Deno.writeTextFile(`${work}/agent/rum-agent`, AGENT_STUB, { mode: 0o755 });
  const program = await Deno.readTextFile(`${work}/agent/rum-agent.js`);
  return await sha256(
    new TextEncoder().encode(`${VERSION} ${Deno.version.deno} ${AGENT_STUB}\n${program}`),
  );
}

/** The entry stamps the build, then loads rum: static imports would be evaluated first. */
function entrySource(build: Build): string {
  return `globalThis.__RUM_BUILD__ = ${JSON.stringify(build)};
const { runCommandLine } = await import(${JSON.stringify(`${ROOT}src/cli/run.ts`)});
Deno.exit(await runCommandLine(Deno.args));
`;
}

/** Undefined when it worked, else the reason why `deno compile` is of no use here. */
async function buildCompiled(
  work: string,
  out: string,
  build: Build,
): Promise<string | undefined> {
  const agent = await runDeno([
    "compile",
    "--quiet",
    "--allow-all",
    "--no-check",
    "--output",
    `${work}/rum-agent`,
    `${work}/agent/rum-agent.js`,
  ]);
  if (!agent.success) return lastLine(agent.text);
  const probe = await new Deno.Command(`${work}/rum-agent`, {
    args: ["--version"],
    stdin: "null",
    stderr: "null",
  }).output();
  if (!new TextDecoder().decode(probe.stdout).startsWith("rum-agent ")) {
    return "DENORT_BIN does not name a denort: what it packs behaves as deno itself";
  }
  const entry = `${ROOT}.rum-entry-${Deno.pid}.ts`;
  await Deno.writeTextFile(entry, entrySource(build));
  try {
    const { success, text } = await runDeno([
      "compile",
      "--quiet",
      "--allow-all",
      "--no-check",
      "--include",
      "src/libvirt/worker.ts",
      "--include",
      `${work}/rum-agent`,
      "--output",
      `${out}/rum`,
      entry,
    ]);
    if (!success) return lastLine(text);
    await Deno.rename(`${work}/rum-agent`, `${out}/rum-agent`).catch(() =>
      Deno.copyFile(`${work}/rum-agent`, `${out}/rum-agent`)
    );
    return undefined;
  } finally {
    await Deno.remove(entry);
  }
}

async function buildSelfExtracting(work: string, out: string, build: Build): Promise<void> {
  const entry = `${ROOT}.rum-entry-${Deno.pid}.ts`;
  await Deno.writeTextFile(entry, entrySource(build));
  const app = `${work}/payload/rum/app`;
  try {
    await bundle([entry, "src/libvirt/worker.ts"], { outdir: app, splitting: true });
  } finally {
    await Deno.remove(entry);
  }
  await pointAtBundledWorker(app, entry.slice(ROOT.length).replace(/\.ts$/, ".js"));
  const rum = `${work}/payload/rum`;
  await Deno.copyFile(await Deno.realPath(Deno.execPath()), `${rum}/deno`);
  await Deno.chmod(`${rum}/deno`, 0o755);
  await copyFolder(`${work}/agent`, `${rum}/agent`);
  await pack(`${work}/payload`, `${out}/rum`, VERSION);

  // The agent by itself, in the same form: stub, runtime and program in one file.
  const solo = `${work}/solo/rum`;
  await Deno.mkdir(`${solo}/app`, { recursive: true });
  await Deno.copyFile(`${work}/agent/rum-agent.js`, `${solo}/app/rum.js`);
  await Deno.link(`${rum}/deno`, `${solo}/deno`);
  await pack(`${work}/solo`, `${out}/rum-agent`, VERSION);
}

/**
 * The entry's file gets its fixed name, and whoever starts the libvirt worker finds the bundled one:
 * `new URL("./worker.ts", import.meta.url)` is resolved from a chunk in the top folder.
 */
async function pointAtBundledWorker(app: string, entryName: string): Promise<void> {
  await Deno.rename(`${app}/${entryName}`, `${app}/rum.js`);
  let replaced = 0;
  for await (const entry of Deno.readDir(app)) {
    if (!entry.isFile || !entry.name.endsWith(".js")) continue;
    const path = `${app}/${entry.name}`;
    const text = await Deno.readTextFile(path);
    const pointed = text.replaceAll('"./worker.ts"', '"./src/libvirt/worker.js"');
    if (pointed === text) continue;
    replaced++;
    await Deno.writeTextFile(path, pointed);
  }
  if (replaced === 0) throw new Error("Cannot find where the libvirt worker is started");
}

/** folder/rum → one file: header, then a gzipped tar; written beside and renamed. */
async function pack(folder: string, out: string, version: string): Promise<void> {
  const payload = `${folder}.tar.gz`;
  const tar = await new Deno.Command("sh", {
    args: [
      "-c",
      'tar --sort=name --owner=0 --group=0 --mtime=@0 -cf - -C "$1" rum | gzip -6 > "$2"',
      "sh",
      folder,
      payload,
    ],
    stderr: "piped",
  }).output();
  if (!tar.success) throw new Error(new TextDecoder().decode(tar.stderr));
  const bytes = await Deno.readFile(payload);
  const header = selfExtractingHeader({ version, digest: await sha256(bytes) });
  const temporary = `${out}.tmp-${Deno.pid}`;
  await Deno.writeTextFile(temporary, header);
  await Deno.writeFile(temporary, bytes, { append: true });
  await Deno.chmod(temporary, 0o755);
  await Deno.rename(temporary, out);
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const entry of Deno.readDir(from)) {
    await Deno.copyFile(`${from}/${entry.name}`, `${to}/${entry.name}`);
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

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(hash), (b) => b.toString(16).padStart(2, "0")).join("");
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "it failed without a word";
}

async function report(out: string, form: string): Promise<void> {
  for (const name of ["rum", "rum-agent"]) {
    const { size } = await Deno.stat(`${out}/${name}`);
    console.log(`${out}/${name}: ${form}, ${(size / 2 ** 20).toFixed(1)} MiB`);
  }
}

if (import.meta.main) await main(Deno.args);
