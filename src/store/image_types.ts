/** What the image cache's modules say to each other and to their callers. */
import type { ChecksumAlgorithm } from "../image/checksums.ts";

export type ImageFormat = "qcow2" | "raw";

/** `config` = image.sha256, `distributor` = its checksum file, `rum.lock` = pinned earlier,
 * `first_use` = pinned now, `local` = a path on this host, `built` = made here from packages. */
export type VerifiedBy = "config" | "distributor" | "rum.lock" | "first_use" | "local" | "built";

export interface ImageProgress {
  /** `fetch`, `import`, `hash`, or a stage of a build. */
  readonly stage: string;
  /** Of a stage that is not counted in bytes. */
  readonly percent?: number;
  readonly bytes: number;
  /** Absent when the server does not say. */
  readonly total?: number;
  readonly bytesPerSecond?: number;
}

export type OnProgress = (progress: ImageProgress) => void;

/** One image in the cache: bytes named by their SHA-256. */
export interface CachedImage {
  /** 64 hex digits: SHA-256 of the file. */
  readonly digest: string;
  readonly format: ImageFormat;
  readonly path: string;
  readonly size: number;
  readonly virtualSizeBytes: number;
}

/** index/<key>.json: where an image came from. The words are on disk: they stay. */
export interface SourceRecord {
  readonly v: 1;
  /** `name:debian-12/x86_64`, `url:https://…`, `path:/…`, `built:debian-12/x86_64`. */
  readonly source: string;
  /** What a person would type to get it: the short name, URL or path. */
  readonly name: string;
  readonly url?: string;
  readonly etag?: string;
  readonly digest: string;
  readonly format: ImageFormat;
  readonly size: number;
  readonly virtual_size: number;
  readonly verified_by: VerifiedBy;
  readonly fetched_at: string;
  /** What the distributor's file said, where that was not a SHA-256. */
  readonly checksum?: { readonly algorithm: ChecksumAlgorithm; readonly hex: string };
  /** Of a `path` source when it was copied: a change means copying again. */
  readonly stat?: FileStamp;
}

/** blobs/<digest>.json: what the file looked like when it was last hashed. */
export interface BlobRecord {
  readonly v: 1;
  readonly digest: string;
  readonly format: ImageFormat;
  readonly size: number;
  readonly virtual_size: number;
  readonly stat: FileStamp;
  readonly hashed_at: string;
  /** Last given to a machine: `prune` leaves it alone until the machine's disk can be seen. */
  readonly handed_out_at?: string;
}

/** A file is taken for unchanged while all of these are. */
export interface FileStamp {
  readonly ino: number;
  readonly size: number;
  readonly mtime_ms: number;
}
