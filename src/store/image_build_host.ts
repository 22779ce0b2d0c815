/** What a build needs to know of this host: its tools, its mirror and keys, how it may make a tree. */
import { RumError } from "../base/errors.ts";
import { debianMirror, parseAptSources, type SourceFile } from "../image/apt_sources.ts";
import {
  type BootstrapMode,
  BUILD_TOOLS,
  type BuildRecipe,
  buildRecipe,
  type BuildTarget,
} from "../image/build_recipe.ts";
import { TOOL_PATH } from "./image_build_run.ts";
import { namesIn } from "./image_layout.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** @throws {RumError} `host_prerequisite`, with every missing program and the command to install */
export async function requireTools(): Promise<void> {
  const missing: string[] = [];
  for (const tool of Object.keys(BUILD_TOOLS)) if (!await onPath(tool)) missing.push(tool);
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((tool) => BUILD_TOOLS[tool]))];
  throw new RumError(
    "host_prerequisite",
    `Cannot build an image: ${missing.join(", ")} ${
      missing.length > 1 ? "are" : "is"
    } not installed`,
    { hint: `apt-get install ${packages.join(" ")}`, data: { missing, packages } },
  );
}

async function onPath(program: string): Promise<boolean> {
  for (const folder of TOOL_PATH.split(":")) {
    try {
      if ((await Deno.stat(`${folder}/${program}`)).isFile) return true;
    } catch {
      // Not there.
    }
  }
  return false;
}

/** The recipe with this host's mirror, or the one that was asked for. */
export async function hostRecipe(target: BuildTarget, mirror?: string): Promise<BuildRecipe> {
  const found = mirror === undefined
    ? debianMirror(parseAptSources(await aptSourceFiles()))
    : { archive: checkedMirror(mirror) };
  const signedBy = "signedBy" in found ? found.signedBy : undefined;
  for (const keyring of [KEYRING, signedBy]) {
    if (keyring !== undefined && await isFile(keyring)) return buildRecipe(target, found, keyring);
  }
  throw new RumError(
    "host_prerequisite",
    `Cannot build ${target.name}: Debian's archive keys are not on this host (looked for ${KEYRING})`,
    { hint: "apt-get install debian-archive-keyring" },
  );
}

/** A mirror goes into sources.list lines and an image: a plain http(s) URL and nothing else. */
function checkedMirror(mirror: string): string {
  const url = URL.canParse(mirror) ? new URL(mirror) : undefined;
  const plain = url !== undefined && /^https?:$/.test(url.protocol) && !/[\s\[\]]/.test(mirror) &&
    url.username === "" && url.password === "" && url.search === "" && url.hash === "";
  if (plain) return mirror.replace(/\/+$/, "");
  throw new RumError(
    "invalid_params",
    `Cannot use the mirror "${mirror}": want an http or https URL without user, query or spaces`,
    { hint: "rum image build debian-12 --mirror https://HOST/debian" },
  );
}

async function aptSourceFiles(): Promise<SourceFile[]> {
  const folder = "/etc/apt/sources.list.d";
  const paths = ["/etc/apt/sources.list"];
  for (const name of await namesIn(folder)) paths.push(`${folder}/${name}`);
  const files: SourceFile[] = [];
  for (const path of paths) {
    try {
      files.push({ path, text: await Deno.readTextFile(path) });
    } catch {
      // Absent, or not readable for this user: apt's other files may do.
    }
  }
  return files;
}

/**
 * User namespaces first, for root too: the packages' scripts then run as nobody of this host.
 *
 * @throws {RumError} `host_prerequisite` when neither they nor root are there
 */
export async function chooseMode(): Promise<BootstrapMode> {
  const args = Deno.uid() === 0
    ? ["--user", "--map-root-user", "--mount", "true"]
    : ["--user", "--map-root-user", "--map-auto", "--mount", "true"];
  const { success, stderr } = await new Deno.Command("unshare", {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    env: { PATH: TOOL_PATH },
  }).output();
  if (success) return "unshare";
  if (Deno.uid() === 0) return "root";
  const why = new TextDecoder().decode(stderr).trim().split("\n")[0];
  throw new RumError(
    "host_prerequisite",
    `Cannot build an image as an ordinary user: user namespaces with mapped ids do not work (${why})`,
    { hint: "apt-get install uidmap, add this user to /etc/subuid and /etc/subgid, or use sudo" },
  );
}

/** The proxies that this host's apt uses, as apt options; without apt there are none. */
export async function aptProxyOptions(): Promise<string[]> {
  try {
    const { success, stdout } = await new Deno.Command("apt-config", {
      args: ["dump", "--no-empty"],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      env: { PATH: TOOL_PATH },
    }).output();
    if (!success) return [];
    return new TextDecoder().decode(stdout).split("\n").filter((line) =>
      /^Acquire::https?::Proxy(::[^ ]+)? "[^"]*";$/.test(line)
    ).map((line) => line.replace(/;$/, ""));
  } catch {
    return [];
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch {
    return false;
  }
}
