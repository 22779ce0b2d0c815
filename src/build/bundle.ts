/**
 * TypeScript → two programs, by `deno bundle` (esbuild): rum with its lazily loaded verbs as chunks
 * and its libvirt worker beside it, and the agent as one file. Both forms of the binary are made of
 * exactly these files:
 *
 *   app/rum.js  app/chunk-*.js  app/<verb>-*.js  app/libvirt_worker.js      agent/rum-agent.js
 *
 * What the build is (form, commit, digest of the agent) is stamped into the finished bundle of rum.
 */
import type { Build } from "../base/version.ts";

export const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname);

export interface Ran {
  readonly success: boolean;
  readonly text: string;
}

export async function runDeno(
  args: readonly string[],
  options: { cwd?: string; timeoutMs?: number } = {},
): Promise<Ran> {
  const signal = AbortSignal.timeout(options.timeoutMs ?? 120_000);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: options.cwd ?? ROOT,
    stdin: "null",
    env: { NO_COLOR: "1" },
    signal,
  }).output();
  const decoder = new TextDecoder();
  const text = decoder.decode(stdout) + decoder.decode(stderr);
  return signal.aborted ? { success: false, text: "it did not end in time" } : { success, text };
}

/** `folder` gets rum.js, its chunks and the worker, all in one flat folder. */
export async function bundleRum(folder: string, build: Build): Promise<void> {
  // Named by full paths and put in order afterwards: their common root decides the layout.
  await bundle(["main.ts", "src/libvirt/worker.ts"], folder, ["--code-splitting"]);
  await Deno.rename(`${folder}/main.js`, `${folder}/rum.js`);
  await moveWorker(`${folder}/src/libvirt/worker.js`, `${folder}/libvirt_worker.js`);
  await Deno.remove(`${folder}/src`, { recursive: true });
  await giveRequire(folder);
  await nameCommonJsExports(folder);
  await stamp(folder, build);
  await nothingOfNodeAtStart(folder, "rum.js");
}

/** `folder` gets rum-agent.js. It is told what it is by whoever puts it on a seed. */
export async function bundleAgent(folder: string): Promise<void> {
  await bundle(["agent/main.ts"], folder, []);
  await Deno.rename(`${folder}/main.js`, `${folder}/rum-agent.js`);
}

/** ssh2 asks for these inside try blocks and does without: they are native code, never built here. */
const OPTIONAL_NATIVE = ["cpu-features", "*.node"];

/**
 * Never `--minify`: it makes `using file = open(); await file.sync()` into `(await open()).sync()`, and
 * nothing is given back any more. Names are a twentieth of a file that is compressed anyway.
 */
export async function bundle(
  entries: readonly string[],
  folder: string,
  flags: readonly string[],
): Promise<void> {
  const args = ["bundle", "--quiet", "--platform", "deno", "--keep-names", ...flags]
    .concat(OPTIONAL_NATIVE.flatMap((name) => ["--external", name]));
  const { success, text } = await runDeno([...args, "--outdir", folder, ...entries]);
  if (!success) throw new Error(`Cannot bundle ${entries.join(", ")}:\n${text}`);
}

/** Two folders up: the chunks it imports stand beside it now. */
async function moveWorker(from: string, to: string): Promise<void> {
  const text = await Deno.readTextFile(from);
  await Deno.writeTextFile(to, text.replaceAll('"../../', '"./'));
}

/**
 * CommonJS packages call `require` for what is built in and read `__dirname`, and an ES module has
 * neither. What is not built in is not there (OPTIONAL_NATIVE), and those who ask for it catch that.
 * Deno's own `require` stands in a chunk that every start reads, and loads node:module there: 40 ms of a processor.
 */
async function giveRequire(folder: string): Promise<void> {
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    const text = await Deno.readTextFile(path);
    const given = (/\b__dirname\b/.test(text) ? DIRNAME : "") + text.replace(DENO_REQUIRE, REQUIRE);
    if (given !== text) await Deno.writeTextFile(path, given);
  }
}

const DIRNAME = "var __dirname=import.meta.dirname,__filename=import.meta.filename;\n";
const DENO_REQUIRE =
  /^import \{ createRequire as (\w+) \} from "node:module";\nvar __require = \1\(import\.meta\.url\);$/m;
const REQUIRE = `var __require=name=>{const found=process.getBuiltinModule(name);` +
  `if(found===undefined)throw new Error("Cannot find module "+name);return found};`;

/**
 * What rum.js reads before any verb is chosen.
 *
 * @throws {Error} when a part of Node is among it: a bundler that writes things otherwise would undo `giveRequire`
 */
async function nothingOfNodeAtStart(folder: string, name: string): Promise<void> {
  const text = await Deno.readTextFile(`${folder}/${name}`);
  for (const [, from] of text.matchAll(/^(?:import|export)\b[^;]*?"((?:node:|\.\/)[^"]+)";$/gm)) {
    if (from.startsWith("node:")) {
      throw new Error(`${name} imports ${from}, which each start loads`);
    }
    await nothingOfNodeAtStart(folder, from.slice(2));
  }
}

/**
 * A CommonJS package that is imported lazily becomes a chunk with nothing but a default export, while
 * Deno itself gives it its names as well. So each such chunk is loaded once, here, and told its names.
 */
async function nameCommonJsExports(folder: string): Promise<void> {
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    const text = await Deno.readTextFile(path);
    const wrapped = /\bexport default ([\w$]+\(\));$/m.exec(text);
    if (wrapped === null) continue;
    const module = await import(`file://${path}`);
    const names = Object.keys(module.default).filter((name) =>
      name !== "default" && /^[A-Za-z_$][\w$]*$/.test(name)
    );
    const values = names.map((name, i) => `,rum$${i}=rum$all.${name}`).join("");
    const exported = names.map((name, i) => `,rum$${i} as ${name}`).join("");
    await Deno.writeTextFile(
      path,
      `${text.slice(0, wrapped.index)}var rum$all=${wrapped[1]}${values};` +
        `export{rum$all as default${exported}};` +
        // Licences follow.
        text.slice(wrapped.index + wrapped[0].length),
    );
  }
}

/** Says what the build is at the top of the one file that asks. */
async function stamp(folder: string, build: Build): Promise<void> {
  let stamped = 0;
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    const text = await Deno.readTextFile(path);
    if (!text.includes("__RUM_BUILD__")) continue;
    await Deno.writeTextFile(path, `var __RUM_BUILD__=${JSON.stringify(build)};\n${text}`);
    stamped++;
  }
  if (stamped !== 1) throw new Error(`Cannot stamp the build: ${stamped} files ask for it, not 1`);
}
