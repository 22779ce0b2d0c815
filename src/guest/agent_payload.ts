/**
 * The program that the seed carries into the guest, as files on the host.
 *
 *   compiled         one ELF file inside this executable
 *   self-extracting  a shell stub, the deno beside it and the bundled agent, all unpacked already
 *   source           the same three, the bundle made once per content of the agent's sources
 *
 * The guest runs `rum-agent` straight from the mounted seed at the first boot, so nothing has to be
 * copied before the agent answers; later it keeps its own copy. The digest names the content, and is
 * what host and guest compare to decide on an upgrade.
 */
import { RumError } from "../base/errors.ts";
import { AGENT_V8_FLAGS, RUNTIME_FLAGS } from "../base/runtime_flags.ts";
import { BUILD, VERSION } from "../base/version.ts";
import type { AgentProgram, AgentProgramFile } from "../plan/types.ts";

/** The stub's text: deno and the program stand beside it, wherever that is. */
export const AGENT_STUB = `#!/bin/sh
d=$0
[ ! -L "$d" ] || d=$(readlink -f "$d")
d=\${d%/*}
export DENO_DIR=/run/rum/deno DENO_NO_UPDATE_CHECK=1 DENO_NO_PROMPT=1
exec "$d/rum-agent-runtime" run ${RUNTIME_FLAGS.join(" ")} --no-code-cache \\
  --v8-flags=${AGENT_V8_FLAGS} "$d/rum-agent.js" "$@"
`;

/** @throws {RumError} `internal` when the bundle cannot be made (source form only) */
export async function agentPayload(options: { cacheFolder: string }): Promise<AgentProgram> {
  switch (BUILD.form) {
    case "compiled": {
      const path = beside("../agent/rum-agent");
      const { size } = await Deno.stat(path);
      return { digest: BUILD.agentDigest, files: [file("rum-agent", path, 0o755, size)] };
    }
    case "self-extracting":
      return await threeFiles(beside("../agent"), beside("../deno"), BUILD.agentDigest);
    case "source": {
      const digest = await sourceDigest();
      const folder = `${options.cacheFolder}/agent/${digest.slice(0, 16)}`;
      if (!await exists(`${folder}/rum-agent.js`)) await bundleInto(folder);
      return await threeFiles(folder, Deno.execPath(), digest);
    }
  }
}

/** A file of the build: program and agent stand in folders beside each other. */
function beside(relative: string): string {
  return decodeURIComponent(new URL(relative, Deno.mainModule).pathname);
}

async function threeFiles(folder: string, deno: string, digest: string): Promise<AgentProgram> {
  const parts = [
    { name: "rum-agent", path: `${folder}/rum-agent`, mode: 0o755 },
    { name: "rum-agent.js", path: `${folder}/rum-agent.js`, mode: 0o644 },
    { name: "rum-agent-runtime", path: await Deno.realPath(deno), mode: 0o755 },
  ];
  const files = await Promise.all(
    parts.map(async (p) => file(p.name, p.path, p.mode, (await Deno.stat(p.path)).size)),
  );
  return { digest, files };
}

function file(name: string, path: string, mode: number, bytes: number): AgentProgramFile {
  return { name, path, mode, bytes };
}

/** What the agent's bundle may be made of. Of `ffi` a few files: the rest is the host's alone. */
export const AGENT_SOURCES = {
  rooms: ["agent", "src/base", "src/protocol", "src/wire", "src/services"],
  files: ["ffi/libc.ts", "ffi/folders.ts", "ffi/tcp_sockets.ts", "deno.lock"],
} as const;

/** Not minified: src/build/bundle.ts tells why. */
const BUNDLE = ["bundle", "--quiet", "--platform", "deno", "--keep-names"];

/** SHA-256 over the agent's sources, how they are bundled, and the runtime's version. */
async function sourceDigest(): Promise<string> {
  const root = checkout();
  const paths: string[] = [...AGENT_SOURCES.files];
  for (const room of AGENT_SOURCES.rooms) await collect(root, room, paths);
  const parts = await Promise.all(
    paths.sort().map(async (p) => `${p}\n${await Deno.readTextFile(root + p)}\n`),
  );
  const made = [VERSION, Deno.version.deno, ...BUNDLE, AGENT_STUB].join(" ");
  const text = `${made}\n${parts.join("")}`;
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (b) => b.toString(16).padStart(2, "0")).join("");
}

async function collect(root: string, room: string, into: string[]): Promise<void> {
  for await (const entry of Deno.readDir(root + room)) {
    const path = `${room}/${entry.name}`;
    if (entry.isDirectory) await collect(root, path, into);
    else if (entry.name.endsWith(".ts")) into.push(path);
  }
}

/** Bundles beside the place and renames, so that a kill leaves no half bundle in use. */
async function bundleInto(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  const temporary = await Deno.makeTempFile({ dir: folder, suffix: ".js" });
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...BUNDLE, "--output", temporary, "agent/main.ts"],
    cwd: checkout(),
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) {
    await Deno.remove(temporary).catch(() => {});
    throw new RumError(
      "internal",
      `Cannot bundle the guest agent: ${new TextDecoder().decode(stderr).trim()}`,
      { hint: "deno task build" },
    );
  }
  await Deno.writeTextFile(`${folder}/rum-agent`, AGENT_STUB, { mode: 0o755 });
  await Deno.rename(temporary, `${folder}/rum-agent.js`);
}

/** The checkout this source stands in, with a slash at the end. */
function checkout(): string {
  return decodeURIComponent(new URL("../../", import.meta.url).pathname);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
