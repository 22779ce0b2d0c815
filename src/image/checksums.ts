/**
 * Checksum files as distributors write them. Three shapes cover all of the catalogue:
 *
 *   HEX  name      coreutils (SHA256SUMS, SHA512SUMS, *.sha256); `*name` marks binary mode
 *   SHA256 (name) = HEX    BSD (Fedora and Rocky CHECKSUM), often inside a PGP clear-signed text
 *   HEX            a file that speaks of one image only
 *
 * The PGP signature is not checked: the trust is in https to the distributor, and what a wrong
 * mirror could do with a body is caught by the digest. Anything else in the file is passed over.
 */
export type ChecksumAlgorithm = "sha256" | "sha512";

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm;
  /** Lower case. */
  readonly hex: string;
}

export interface ChecksumLine extends Checksum {
  /** Absent in a bare digest. */
  readonly file?: string;
}

const COREUTILS = /^([0-9a-f]{64}|[0-9a-f]{128})(?:[ \t]+[* ]?(\S.*?))?$/i;
const BSD = /^SHA(256|512) \((.+)\) = ([0-9a-f]+)$/i;

export function parseChecksums(text: string): readonly ChecksumLine[] {
  const found: ChecksumLine[] = [];
  for (const raw of text.split(/\r?\n/)) {
    const line = raw.trim();
    const bsd = BSD.exec(line);
    if (bsd !== null) {
      const algorithm = bsd[1] === "256" ? "sha256" : "sha512";
      if (bsd[3].length === HEX_LENGTH[algorithm]) {
        found.push({ algorithm, hex: bsd[3].toLowerCase(), file: baseName(bsd[2]) });
      }
      continue;
    }
    const plain = COREUTILS.exec(line);
    if (plain === null) continue;
    found.push({
      algorithm: plain[1].length === HEX_LENGTH.sha256 ? "sha256" : "sha512",
      hex: plain[1].toLowerCase(),
      ...(plain[2] === undefined ? {} : { file: baseName(plain[2]) }),
    });
  }
  return found;
}

const HEX_LENGTH: Readonly<Record<ChecksumAlgorithm, number>> = { sha256: 64, sha512: 128 };

/**
 * The checksum of `file`, or undefined. A file with one single line is about the image beside it
 * whatever name it says: openSUSE and Arch write the dated name that "latest" points to. Where a
 * name stands twice with different digests, nothing is believed.
 */
export function checksumFor(text: string, file: string): Checksum | undefined {
  const lines = parseChecksums(text);
  const named = lines.filter((line) => line.file === file);
  const candidates = named.length > 0 ? named : lines.length === 1 ? lines : [];
  const best = candidates.find((line) => line.algorithm === "sha512") ?? candidates[0];
  if (best === undefined) return undefined;
  const agree = candidates.every((line) =>
    line.algorithm !== best.algorithm || line.hex === best.hex
  );
  return agree ? { algorithm: best.algorithm, hex: best.hex } : undefined;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
