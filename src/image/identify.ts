/**
 * What the first bytes of a file are, by their own magic, so that QEMU never probes (SPEC section
 * 11) and a server's error page is called one. Only qcow2 and raw go further.
 */
export type FileKind =
  | { readonly kind: "qcow2" }
  | { readonly kind: "raw" }
  | { readonly kind: "page"; readonly what: string }
  | { readonly kind: "refused"; readonly what: string }
  | { readonly kind: "unknown"; readonly what: string };

/** Enough to tell all kinds below from each other. */
export const IDENTIFY_BYTES = 1024;

const MAGICS: readonly { at: number; bytes: readonly number[] | string; what: string }[] = [
  { at: 0, bytes: "KDMV", what: "a VMDK disk" },
  { at: 0, bytes: "# Disk DescriptorFile", what: "a VMDK descriptor" },
  { at: 0, bytes: "COWD", what: "an old VMDK disk" },
  { at: 0, bytes: "vhdxfile", what: "a VHDX disk" },
  { at: 0, bytes: "conectix", what: "a VHD disk" },
  { at: 0x40, bytes: [0x7f, 0x10, 0xda, 0xbe], what: "a VirtualBox disk (VDI)" },
  { at: 0, bytes: "QED\0", what: "a QED disk" },
  { at: 0, bytes: "WithoutFreeSpace", what: "a Parallels disk" },
  { at: 0, bytes: "WithouFreSpacExt", what: "a Parallels disk" },
  { at: 0, bytes: "LUKS", what: "an encrypted LUKS volume" },
  { at: 0, bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a], what: "an xz archive" },
  { at: 0, bytes: [0x28, 0xb5, 0x2f, 0xfd], what: "a zstd archive" },
  { at: 0, bytes: [0x1f, 0x8b], what: "a gzip archive" },
  { at: 0, bytes: "BZh", what: "a bzip2 archive" },
  { at: 0, bytes: "PK\x03\x04", what: "a zip archive" },
  { at: 257, bytes: "ustar", what: "a tar archive" },
];

const PAGE = /^\s*(?:<!doctype|<html|<head|<\?xml|<error|\{\s*")/i;

export function identify(first: Uint8Array): FileKind {
  if (matches(first, 0, "QFI\xfb")) return { kind: "qcow2" };
  for (const { at, bytes, what } of MAGICS) {
    if (matches(first, at, bytes)) return { kind: "refused", what };
  }
  const text = new TextDecoder("utf-8").decode(first.subarray(0, 256));
  if (PAGE.test(text.replace(/^\ufeff/, ""))) {
    return {
      kind: "page",
      what: text.trimStart().startsWith("{") ? "a JSON answer" : "a web page",
    };
  }
  // Both an MBR and a GPT start with a boot sector's signature: a raw disk that boots has it.
  if (first[510] === 0x55 && first[511] === 0xaa) return { kind: "raw" };
  return {
    kind: "unknown",
    what: first.length === 0 ? "an empty file" : "bytes of no disk image (no partition table)",
  };
}

function matches(bytes: Uint8Array, at: number, magic: readonly number[] | string): boolean {
  for (let i = 0; i < magic.length; i++) {
    const want = typeof magic === "string" ? magic.charCodeAt(i) : magic[i];
    if (bytes[at + i] !== want) return false;
  }
  return true;
}
