/**
 * The host's own apt sources, read as text, so that an image is built from where this host may
 * fetch packages and from nowhere else: behind a firewall that is the one mirror that answers.
 * Both styles are read: deb822 (`*.sources`) and one-line (`*.list`).
 */
import { RumError } from "../base/errors.ts";

export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** A keyring file; an inline key is not passed on. */
  readonly signedBy?: string;
}

/** Where Debian's packages come from: the archive, and the security archive where one is known. */
export interface DebianMirror {
  readonly archive: string;
  readonly security?: string;
  readonly signedBy?: string;
}

export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

const ONE_LINE = /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$/;

export function parseAptSources(files: readonly SourceFile[]): readonly AptSource[] {
  return files.flatMap(({ path, text }) =>
    path.endsWith(".sources") ? parseDeb822(text) : path.endsWith(".list") ? parseLines(text) : []
  );
}

function parseLines(text: string): AptSource[] {
  const found: AptSource[] = [];
  for (const raw of text.split("\n")) {
    const match = ONE_LINE.exec(raw.replace(/#.*$/, "").trim());
    if (match === null) continue;
    const signedBy = /(?:^|\s)signed-by=(\S+)/.exec(match[1] ?? "")?.[1];
    found.push({
      uri: trimSlash(match[2]),
      suite: match[3],
      components: words(match[4]),
      ...(signedBy?.startsWith("/") ? { signedBy } : {}),
    });
  }
  return found;
}

function parseDeb822(text: string): AptSource[] {
  const found: AptSource[] = [];
  const withoutComments = text.split("\n").filter((line) => !line.startsWith("#")).join("\n");
  for (const stanza of withoutComments.split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    let last = "";
    for (const line of stanza.split("\n")) {
      if (/^\s/.test(line) && last !== "") fields.set(last, `${fields.get(last)} ${line.trim()}`);
      const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (match !== null) fields.set(last = match[1].toLowerCase(), match[2].trim());
    }
    if (!words(fields.get("types") ?? "").includes("deb")) continue;
    if (/^(no|false|0|off)$/i.test(fields.get("enabled") ?? "yes")) continue;
    const signedBy = fields.get("signed-by");
    for (const uri of words(fields.get("uris") ?? "")) {
      for (const suite of words(fields.get("suites") ?? "")) {
        found.push({
          uri: trimSlash(uri),
          suite,
          components: words(fields.get("components") ?? ""),
          ...(signedBy?.startsWith("/") ? { signedBy } : {}),
        });
      }
    }
  }
  return found;
}

/** Every Debian release of the last and next years: a host of any of them knows the mirror. */
const SUITE =
  /^(?:buster|bullseye|bookworm|trixie|forky|duke|stable|oldstable|testing|sid|unstable)$/;
const SECURITY_SUITE = /^(?:[a-z]+)(?:-security|\/updates)$/;

/**
 * Debian's mirror as this host has it. Only sources that ask for `main` of a Debian release count,
 * so that a third party's repository is never taken for the archive.
 *
 * @throws {RumError} `image_build` when the host has no Debian source
 */
export function debianMirror(sources: readonly AptSource[]): DebianMirror {
  const main = sources.filter((source) => source.components.includes("main"));
  const archive = main.find((source) => SUITE.test(source.suite));
  const security = main.find((source) =>
    SECURITY_SUITE.test(source.suite) && /security/.test(source.uri)
  );
  if (archive === undefined) {
    throw new RumError(
      "image_build",
      `Cannot find Debian's package mirror: none of the host's ${sources.length} apt sources is a Debian release with the component "main"`,
      { hint: "rum image build debian-12 --mirror URL" },
    );
  }
  return {
    archive: archive.uri,
    ...(security === undefined ? {} : { security: security.uri }),
    ...(archive.signedBy === undefined ? {} : { signedBy: archive.signedBy }),
  };
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}

function trimSlash(uri: string): string {
  return uri.replace(/\/+$/, "");
}
