/**
 * libvirt keeps what it learned of QEMU in files and takes them for stale when its own "last changed" is
 * another than when they were written. That is the newest change time of the modules it has loaded *so
 * far*: of the QEMU driver alone at first, of the storage module as well once a machine starts. A
 * package manager unpacks them a second apart often enough, and then each process asked QEMU anew,
 * which takes four seconds of every `up`.
 *
 * So libvirt is told of all its modules before it is opened. The function is a private one of its own:
 * where it or the folder is not there, things are slower and no worse.
 */
import { type Libvirt, SymbolMissing } from "../../ffi/library.ts";
import { cString } from "../../ffi/memory.ts";

/** What a driver inside this process may load, at its opening or later. */
const FOLDERS = ["connection-driver", "storage-file"];

export function settleModuleAge(
  libvirt: Pick<Libvirt, "virUpdateSelfLastChanged">,
  maps: string = Deno.readTextFileSync("/proc/self/maps"),
): void {
  try {
    for (const module of modulesBeside(maps)) libvirt.virUpdateSelfLastChanged(cString(module));
  } catch (error) {
    if (!(error instanceof SymbolMissing)) throw error;
  }
}

/** Of the libvirt that is loaded here. */
export function modulesBeside(maps: string): string[] {
  const home = /(\/.*)\/libvirt\.so\.\S+$/m.exec(maps)?.[1];
  if (home === undefined) return [];
  return FOLDERS.flatMap((folder) => {
    const path = `${home}/libvirt/${folder}`;
    try {
      return [...Deno.readDirSync(path)].filter(({ name }) => name.endsWith(".so"))
        .map(({ name }) => `${path}/${name}`).sort();
    } catch {
      return [];
    }
  });
}
