/**
 * ISO 9660 with Rock Ridge, written as a stream: the seed that hands a guest its files. Linux sees
 * the names as they are written here (lower case, dashes) and the modes (a token of 0600), which
 * plain ISO 9660 has no room for. One folder, no sub-folders: a seed needs none.
 *
 * Deterministic: sorted names, one fixed date, owner root. So the same files give the same bytes,
 * and a file of 200 MiB passes through in pieces and is never held.
 *
 * Sectors of 2048: 16 empty | volume descriptor | its end mark | path table, little-endian |
 * path table, big-endian | root folder | files, each at the start of a sector.
 */
import { RumError } from "../base/errors.ts";

export interface IsoFile {
  readonly name: string;
  /** Permission bits: 0o600. */
  readonly mode: number;
  readonly content: Uint8Array | IsoSource;
}

/**
 * Content from elsewhere: opened when its turn comes, and wanted to be exactly that long. A source may use one
 * buffer for all its pieces; whoever reads the image is done with a piece before asking for the next.
 */
export interface IsoSource {
  readonly sizeBytes: number;
  readonly open: () => AsyncIterable<Uint8Array>;
}

export interface IsoOptions {
  /** At most 32 bytes; what `mount LABEL=` finds. */
  readonly label: string;
}

const SECTOR = 2048;
const ROOT_SECTOR = 20;
/** One extent's length is 32 bits. */
const FILE_MAX = 2 ** 32 - 1;
/** Room in a folder record of 255 bytes beside what else is in it. */
const NAME_MAX = 128;
const FIXED_YEAR = 2000;

/**
 * The whole image.
 *
 * @throws {RumError} `invalid_params` for names, sizes or labels that do not fit; in the stream,
 *   `internal` when a source is shorter or longer than it said
 */
export function isoImage(
  files: readonly IsoFile[],
  options: IsoOptions,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const layout = layOut(files, options.label);
  return ReadableStream.from(pieces(layout));
}

/** Its length, known before a byte is read. */
export function isoSizeBytes(files: readonly IsoFile[], options: IsoOptions): number {
  return layOut(files, options.label).sectors * SECTOR;
}

interface Placed {
  readonly file: IsoFile;
  readonly sizeBytes: number;
  readonly sector: number;
  readonly record: Uint8Array;
}

interface Layout {
  readonly label: string;
  readonly placed: readonly Placed[];
  readonly rootSectors: number;
  readonly sectors: number;
}

function layOut(files: readonly IsoFile[], label: string): Layout {
  if (!/^[\x20-\x7e]{1,32}$/.test(label)) {
    throw invalid(`the label ${JSON.stringify(label)} is not 1 to 32 ASCII characters`);
  }
  const sorted = [...files].sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  // Where files lie depends on how many sectors the folder takes, so records are made twice: once
  // for their lengths, once with their places.
  const rootSectors = packRecords(sorted.map((file, i) => fileRecord(file, i, 0, 0)), 0).sectors;
  let sector = ROOT_SECTOR + rootSectors;
  const placed = sorted.map((file, index): Placed => {
    if (index > 0 && sorted[index - 1].name === file.name) throw invalid(`two are "${file.name}"`);
    const sizeBytes = file.content instanceof Uint8Array
      ? file.content.length
      : file.content.sizeBytes;
    if (!Number.isInteger(sizeBytes) || sizeBytes < 0 || sizeBytes > FILE_MAX) {
      throw invalid(`"${file.name}" has ${sizeBytes} bytes, and less than 4 GiB are wanted`);
    }
    const record = fileRecord(file, index, sector, sizeBytes);
    const at = { file, sizeBytes, sector, record };
    sector += Math.ceil(sizeBytes / SECTOR);
    return at;
  });
  return { label, placed, rootSectors, sectors: sector };
}

async function* pieces(layout: Layout): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  yield head(layout);
  for (const { file, sizeBytes } of layout.placed) {
    if (file.content instanceof Uint8Array) {
      if (sizeBytes > 0) yield new Uint8Array(file.content);
    } else {
      yield* exactly(file.name, file.content);
    }
    const rest = sizeBytes % SECTOR;
    if (rest > 0) yield new Uint8Array(SECTOR - rest);
  }
}

async function* exactly(name: string, source: IsoSource): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let seen = 0;
  for await (const chunk of source.open()) {
    seen += chunk.length;
    if (seen > source.sizeBytes) break;
    yield chunk as Uint8Array<ArrayBuffer>;
  }
  if (seen !== source.sizeBytes) {
    throw new RumError(
      "internal",
      `Cannot write "${name}" to the seed: ${source.sizeBytes} bytes were promised, ` +
        `${seen > source.sizeBytes ? "more" : seen} came`,
    );
  }
}

/** Everything in front of the first file. */
function head(layout: Layout): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array((ROOT_SECTOR + layout.rootSectors) * SECTOR);
  bytes.set(volumeDescriptor(layout), 16 * SECTOR);
  bytes.set(ascii("\xffCD001\x01"), 17 * SECTOR);
  bytes.set(pathTable(true), 18 * SECTOR);
  bytes.set(pathTable(false), 19 * SECTOR);
  const records = layout.placed.map((p) => p.record);
  bytes.set(packRecords(records, layout.rootSectors).bytes, ROOT_SECTOR * SECTOR);
  return bytes;
}

function volumeDescriptor(layout: Layout): Uint8Array {
  const bytes = new Uint8Array(SECTOR);
  bytes.set(ascii("\x01CD001\x01"));
  bytes.fill(0x20, 8, 72);
  bytes.set(ascii(layout.label), 40);
  bytes.set(both32(layout.sectors), 80);
  bytes.set(both16(1), 120);
  bytes.set(both16(1), 124);
  bytes.set(both16(SECTOR), 128);
  const view = new DataView(bytes.buffer);
  bytes.set(both32(PATH_TABLE_BYTES), 132);
  view.setUint32(140, 18, true);
  view.setUint32(148, 19, false);
  bytes.set(folderRecord("\0", layout.rootSectors, []), 156);
  bytes.fill(0x20, 190, 813);
  const date = ascii(`${FIXED_YEAR}010100000000\0`);
  bytes.set(date, 813);
  bytes.set(date, 830);
  // Never expires, effective at once: zeros as digits, and no zone.
  bytes.set(ascii("0000000000000000\0"), 847);
  bytes.set(ascii("0000000000000000\0"), 864);
  bytes[881] = 1;
  return bytes;
}

const PATH_TABLE_BYTES = 10;

function pathTable(little: boolean): Uint8Array {
  const bytes = new Uint8Array(PATH_TABLE_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = 1;
  view.setUint32(2, ROOT_SECTOR, little);
  view.setUint16(6, 1, little);
  return bytes;
}

/** `.`, `..` and the files; a record never crosses a sector. */
function packRecords(
  files: readonly Uint8Array[],
  rootSectors: number,
): { bytes: Uint8Array; sectors: number } {
  const posix = posixEntry(0o040755, 2);
  const all = [
    folderRecord("\0", rootSectors, [sharingEntry(), posix, extensionEntry()]),
    folderRecord("\x01", rootSectors, [posix]),
    ...files,
  ];
  const places: number[] = [];
  let at = 0;
  for (const record of all) {
    if (at % SECTOR + record.length > SECTOR) at = Math.ceil(at / SECTOR) * SECTOR;
    places.push(at);
    at += record.length;
  }
  const sectors = Math.ceil(at / SECTOR);
  const bytes = new Uint8Array(sectors * SECTOR);
  all.forEach((record, i) => bytes.set(record, places[i]));
  return { bytes, sectors };
}

function fileRecord(file: IsoFile, index: number, sector: number, sizeBytes: number): Uint8Array {
  if (!new RegExp(`^[A-Za-z0-9._-]{1,${NAME_MAX}}$`).test(file.name) || /^\.\.?$/.test(file.name)) {
    throw invalid(`${JSON.stringify(file.name)} is no name of letters, digits and . _ -`);
  }
  // The plain name, which Rock Ridge readers never show: unique and in the order of the real ones.
  const plain = `F${String(index).padStart(7, "0")}.;1`;
  return folderEntry(plain, sector, sizeBytes, 0, [
    posixEntry(0o100000 | (file.mode & 0o7777), 1),
    nameEntry(file.name),
  ]);
}

function folderRecord(name: string, sectors: number, extra: readonly Uint8Array[]): Uint8Array {
  return folderEntry(name, ROOT_SECTOR, sectors * SECTOR, 2, extra);
}

function folderEntry(
  name: string,
  sector: number,
  sizeBytes: number,
  flags: number,
  extra: readonly Uint8Array[],
): Uint8Array {
  const base = 33 + name.length + (name.length % 2 === 0 ? 1 : 0);
  const used = extra.reduce((sum, entry) => sum + entry.length, base);
  const bytes = new Uint8Array(used + used % 2);
  bytes[0] = bytes.length;
  bytes.set(both32(sector), 2);
  bytes.set(both32(sizeBytes), 10);
  bytes.set([FIXED_YEAR - 1900, 1, 1, 0, 0, 0, 0], 18);
  bytes[25] = flags;
  bytes.set(both16(1), 28);
  bytes[32] = name.length;
  bytes.set(ascii(name), 33);
  let at = base;
  for (const entry of extra) {
    bytes.set(entry, at);
    at += entry.length;
  }
  return bytes;
}

/** SP: these records carry extensions, from their first byte on. */
function sharingEntry(): Uint8Array {
  return susp("SP", [0xbe, 0xef, 0]);
}

/** ER: which extension; Linux wants to see it. */
function extensionEntry(): Uint8Array {
  const id = ascii("RRIP_1991A");
  const what = ascii(
    "THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
  );
  return susp("ER", [id.length, what.length, 0, 1, ...id, ...what]);
}

/** PX: mode, links, owner and group (root). */
function posixEntry(mode: number, links: number): Uint8Array {
  return susp("PX", [...both32(mode), ...both32(links), ...both32(0), ...both32(0)]);
}

/** NM: the name as written. */
function nameEntry(name: string): Uint8Array {
  return susp("NM", [0, ...ascii(name)]);
}

function susp(signature: string, body: readonly number[]): Uint8Array {
  return new Uint8Array([...ascii(signature), 4 + body.length, 1, ...body]);
}

/** Numbers stand twice, little-endian and big-endian. */
function both32(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, value, true);
  view.setUint32(4, value, false);
  return bytes;
}

function both16(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, value, true);
  view.setUint16(2, value, false);
  return bytes;
}

/** Code units as bytes: for ASCII and the marks above 127 that the format itself has. */
function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function invalid(why: string): RumError {
  return new RumError("invalid_params", `Cannot lay out the seed: ${why}`);
}
