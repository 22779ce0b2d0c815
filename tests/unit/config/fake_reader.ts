/** A disk as a table: path → content (file), null (folder) or `{ link }`. */
import type { ConfigReader } from "../../../src/config/host_files.ts";
import { checkConfig, type CheckResult } from "../../../src/config/load.ts";

export type FakeDisk = Readonly<Record<string, string | null | { readonly link: string }>>;

export const PROJECT = "/home/u/project";
export const BASE: FakeDisk = { "/home/u": null, [PROJECT]: null };

export function fakeReader(disk: FakeDisk = BASE): ConfigReader {
  const resolve = (path: string): string => {
    for (const [name, entry] of Object.entries(disk)) {
      if (entry === null || typeof entry === "string") continue;
      if (path === name || path.startsWith(name + "/")) {
        return resolve(entry.link + path.slice(name.length));
      }
    }
    return path;
  };
  return {
    home: "/home/u",
    kind(path) {
      const entry = disk[resolve(path)];
      return Promise.resolve(
        entry === undefined ? undefined : typeof entry === "string" ? "file" : "folder",
      );
    },
    canonical: (path) => Promise.resolve(resolve(path)),
    link(path) {
      const entry = disk[path];
      return Promise.resolve(
        entry === undefined || entry === null || typeof entry === "string" ? undefined : entry.link,
      );
    },
    read(path, maxBytes) {
      const entry = disk[resolve(path)];
      if (typeof entry !== "string") return Promise.reject(new Error("it is not a regular file"));
      return Promise.resolve(new TextEncoder().encode(entry).subarray(0, maxBytes + 1));
    },
  };
}

export function check(text: string, disk: FakeDisk = BASE): Promise<CheckResult> {
  return checkConfig(text, {
    path: `${PROJECT}/rum.toml`,
    folder: PROJECT,
    reader: fakeReader(disk),
    shownAs: "rum.toml",
  });
}

/** The Config of a text that must be good. */
export async function good(text: string, disk: FakeDisk = BASE) {
  const result = await check(text, disk);
  if (result.kind === "bad") throw new Error(JSON.stringify(result.diagnostics, null, 2));
  return result;
}

/** `line:column code key` of each diagnostic. */
export async function places(text: string, disk: FakeDisk = BASE): Promise<string[]> {
  const result = await check(text, disk);
  if (result.kind === "ok") return [];
  return result.diagnostics.map(({ line, column, code, key }) =>
    `${line}:${column} ${code} ${key}`.trim()
  );
}
