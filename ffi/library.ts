/**
 * Opens libvirt's libraries on first use. Importing this module opens nothing.
 *
 * Two different failures, because they have two different remedies: the library is not there
 * (install it), or it is there and lacks one function (it is too old for that call).
 */
import { LIBVIRT, LIBVIRT_ADDRESSES, LIBVIRT_QEMU } from "./symbols.ts";

export class LibraryMissing extends Error {
  override readonly name = "LibraryMissing";
  constructor(readonly library: string, cause: unknown) {
    super(`Cannot load ${library}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

export class SymbolMissing extends Error {
  override readonly name = "SymbolMissing";
  constructor(readonly library: string, readonly symbol: string) {
    super(`${library} has no function ${symbol}`);
  }
}

type Table = Readonly<Record<string, Deno.ForeignFunction>>;
export type Functions<T extends Table> = Deno.DynamicLibrary<T>["symbols"];

export type Libvirt = Functions<typeof LIBVIRT>;
export type LibvirtQemu = Functions<typeof LIBVIRT_QEMU>;

/** File names, replaceable for tests of the two failures. */
export interface LibraryNames {
  readonly libvirt: string;
  readonly qemu: string;
}

export const LIBRARY_NAMES: LibraryNames = {
  libvirt: "libvirt.so.0",
  qemu: "libvirt-qemu.so.0",
};

export class Libraries {
  readonly #names: LibraryNames;
  #libvirt?: Libvirt;
  #qemu?: LibvirtQemu;

  constructor(names: LibraryNames = LIBRARY_NAMES) {
    this.#names = names;
  }

  /** @throws {LibraryMissing} when libvirt is not installed */
  get libvirt(): Libvirt {
    if (this.#libvirt === undefined) {
      const lib = openTable(this.#names.libvirt, LIBVIRT);
      silenceStderr(this.#names.libvirt, lib);
      this.#libvirt = lib;
    }
    return this.#libvirt;
  }

  /** @throws {LibraryMissing} when the QEMU part of libvirt is not installed */
  get qemu(): LibvirtQemu {
    return this.#qemu ??= openTable(this.#names.qemu, LIBVIRT_QEMU);
  }
}

/**
 * Libraries are never closed again: libvirt starts threads of its own, and unmapping code that a
 * thread still runs ends the process.
 */
function openTable<T extends Table>(library: string, table: T): Functions<T> {
  const optional = Object.fromEntries(
    Object.entries(table).map(([name, entry]) => [name, { ...entry, optional: true }]),
  );
  const found = open(library, optional).symbols as Record<string, unknown>;
  const functions: Record<string, unknown> = {};
  for (const name of Object.keys(table)) {
    functions[name] = found[name] ?? (() => {
      throw new SymbolMissing(library, name);
    });
  }
  return functions as Functions<T>;
}

function silenceStderr(library: string, libvirt: Libvirt): void {
  const { symbols } = open(library, {
    virFreeError: { ...LIBVIRT_ADDRESSES.virFreeError, optional: true },
  });
  const address = symbols.virFreeError as Deno.PointerValue;
  if (address !== null) libvirt.virSetErrorFunc(null, address);
}

function open<T extends Deno.ForeignLibraryInterface>(
  library: string,
  table: T,
): Deno.DynamicLibrary<T> {
  try {
    return Deno.dlopen(library, table);
  } catch (cause) {
    throw new LibraryMissing(library, cause);
  }
}
