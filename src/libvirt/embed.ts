/**
 * libvirt's QEMU driver inside our own process, with a folder of its own as root: what it needs
 * before it is opened, and the one expensive thing it learns.
 *
 * - As root the driver's defaults (another user, cgroups, namespaces, a security driver, virtlogd)
 *   all want a system around it; without this qemu.conf probing went in circles for 70 s.
 * - Asking QEMU for its capabilities takes seconds, once per root. The answers are files named by a
 *   hash of the emulator, and libvirt checks each against the emulator's and its own build time; so
 *   a copy of another root's files is as good as asking. Copied and not linked: libvirt writes them
 *   in place, and two machines starting at once would read each other's half-written ones.
 * - Only one process may own a root; the machine's lock sees to that (SPEC section 6).
 */
import { RumError } from "../base/errors.ts";

const QEMU_CONF = `# Written by rum: libvirt's QEMU driver runs inside rum, with nothing around it.
user = "root"
group = "root"
security_driver = "none"
dynamic_ownership = 0
remember_owner = 0
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
`;

const QEMU_CONF_USER = `# Written by rum: libvirt's QEMU driver runs inside rum, without virtlogd.
stdio_handler = "file"
`;

/** The root folder named in an embed URI. */
export function embedRootOf(uri: string): string {
  const root = new URL(uri).searchParams.get("root");
  if (root === null || !root.startsWith("/")) {
    throw new RumError("invalid_params", `Cannot open ${uri}: wanted ?root= with an absolute path`);
  }
  return root;
}

export interface EmbedOptions {
  readonly root: string;
  readonly asRoot: boolean;
  /** Folder with the capability files that machines share; none = every root asks QEMU itself. */
  readonly cache?: string;
}

/** Makes the root ready to be opened. */
export async function prepareEmbedRoot({ root, asRoot, cache }: EmbedOptions): Promise<void> {
  await Deno.mkdir(`${root}/etc`, { recursive: true, mode: 0o700 });
  await writeIfDifferent(`${root}/etc/qemu.conf`, asRoot ? QEMU_CONF : QEMU_CONF_USER);
  if (cache !== undefined) await copyCapabilities(cache, capabilityFolder(root));
}

/** Gives what this root learned to the next machine. Never throws: it only costs time. */
export async function shareCapabilities({ root, cache }: EmbedOptions): Promise<void> {
  if (cache !== undefined) await copyCapabilities(capabilityFolder(root), cache);
}

function capabilityFolder(root: string): string {
  return `${root}/cache/qemu/capabilities`;
}

async function copyCapabilities(from: string, to: string): Promise<void> {
  try {
    await Deno.mkdir(to, { recursive: true, mode: 0o700 });
    for await (const { name, isFile } of Deno.readDir(from)) {
      if (!isFile || !name.endsWith(".xml")) continue;
      const [source, target] = await Promise.all([stat(`${from}/${name}`), stat(`${to}/${name}`)]);
      if (source === undefined) continue;
      const newer = target === undefined || (source.mtime?.getTime() ?? 0) >
          (target.mtime?.getTime() ?? 0);
      if (newer) await copyWhole(`${from}/${name}`, `${to}/${name}`);
    }
  } catch {
    // A missing or unreadable cache means that QEMU is asked again.
  }
}

async function copyWhole(from: string, to: string): Promise<void> {
  const text = await Deno.readTextFile(from);
  // libvirt writes in place: a file without its end is one that is being written.
  if (!text.trimEnd().endsWith("</qemuCaps>")) return;
  const temporary = `${to}.${Deno.pid}`;
  await Deno.writeTextFile(temporary, text, { mode: 0o600 });
  await Deno.rename(temporary, to);
}

async function writeIfDifferent(path: string, text: string): Promise<void> {
  try {
    if (await Deno.readTextFile(path) === text) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  await Deno.writeTextFile(path, text, { mode: 0o600 });
}

async function stat(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.stat(path);
  } catch {
    return undefined;
  }
}
