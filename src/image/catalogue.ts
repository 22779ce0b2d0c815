/**
 * The short names that `image.base` knows: where each distributor keeps its current cloud image and
 * the checksums of it, by architecture. Data, in one table, so that a new release is a new row.
 *
 * "Current" URLs (`latest`, `release`) are used wherever the distributor has them, because dated
 * ones are deleted after months. That is why no digest stands here: the distributor's own checksum
 * file, fetched over https next to the image, says what the bytes must be.
 */
import { RumError } from "../base/errors.ts";
import { nearest } from "../base/typo.ts";
import type { Arch } from "../plan/types.ts";

export interface CatalogueSource {
  /** Tried in this order; a later one only when the one before says "not found". */
  readonly urls: readonly string[];
  /** Beside the URL of the same index. Its format is recognised by its lines (checksums.ts). */
  readonly checksumUrls: readonly string[];
}

export interface CatalogueEntry {
  readonly name: string;
  readonly title: string;
  readonly sources: Partial<Readonly<Record<Arch, CatalogueSource>>>;
  /** `rum image build` can make it from packages. */
  readonly buildable: boolean;
  /**
   * cloud-init may do all its work in its first stage, before the network: nothing that it writes to
   * (/home, /var, /etc) is mounted later than the root, and rum was seen to boot it so.
   */
  readonly earlyCloudInit: boolean;
}

const ARCHES: readonly Arch[] = ["x86_64", "aarch64"];
const DEB_ARCH: Readonly<Record<Arch, string>> = { x86_64: "amd64", aarch64: "arm64" };

/** How one image is found for an architecture: folder URLs, file name, name of the checksum file. */
interface Place {
  readonly folders: readonly string[];
  readonly file: string;
  readonly checksums: string;
}

function entry(
  name: string,
  title: string,
  place: (arch: Arch) => Place,
  options: { buildable?: boolean; earlyCloudInit?: boolean; arches?: readonly Arch[] } = {},
): CatalogueEntry {
  const { buildable = false, earlyCloudInit = false } = options;
  const sources: Partial<Record<Arch, CatalogueSource>> = {};
  for (const arch of options.arches ?? ARCHES) {
    const { folders, file, checksums } = place(arch);
    sources[arch] = {
      urls: folders.map((folder) => `${folder}/${file}`),
      checksumUrls: folders.map((folder) => `${folder}/${checksums}`),
    };
  }
  return { name, title, sources, buildable, earlyCloudInit };
}

const debian = (version: number, suite: string) =>
  entry(`debian-${version}`, `Debian ${version} (${suite})`, (arch) => ({
    folders: [`https://cloud.debian.org/images/cloud/${suite}/latest`],
    file: `debian-${version}-genericcloud-${DEB_ARCH[arch]}.qcow2`,
    checksums: "SHA512SUMS",
  }), { buildable: true, earlyCloudInit: true });

const ubuntu = (version: string, suite: string) =>
  entry(`ubuntu-${version}`, `Ubuntu ${version} LTS (${suite})`, (arch) => ({
    folders: [`https://cloud-images.ubuntu.com/releases/${version}/release`],
    file: `ubuntu-${version}-server-cloudimg-${DEB_ARCH[arch]}.img`,
    checksums: "SHA256SUMS",
  }));

/** Fedora moves a release to its archive some weeks after its end. */
const fedora = (version: number, compose: string) =>
  entry(`fedora-${version}`, `Fedora Cloud ${version}`, (arch) => ({
    folders: [
      `https://download.fedoraproject.org/pub/fedora/linux/releases/${version}/Cloud/${arch}/images`,
      `https://archives.fedoraproject.org/pub/archive/fedora/linux/releases/${version}/Cloud/${arch}/images`,
    ],
    file: `Fedora-Cloud-Base-Generic-${version}-${compose}.${arch}.qcow2`,
    checksums: `Fedora-Cloud-${version}-${compose}-${arch}-CHECKSUM`,
  }));

const rocky = (version: number) =>
  entry(`rocky-${version}`, `Rocky Linux ${version}`, (arch) => {
    const file = `Rocky-${version}-GenericCloud-Base.latest.${arch}.qcow2`;
    return {
      folders: [`https://dl.rockylinux.org/pub/rocky/${version}/images/${arch}`],
      file,
      checksums: `${file}.CHECKSUM`,
    };
  });

const alma = (version: number) =>
  entry(`alma-${version}`, `AlmaLinux ${version}`, (arch) => ({
    folders: [`https://repo.almalinux.org/almalinux/${version}/cloud/${arch}/images`],
    file: `AlmaLinux-${version}-GenericCloud-latest.${arch}.qcow2`,
    checksums: "CHECKSUM",
  }));

const suse = (name: string, title: string, folder: string, stem: string) =>
  entry(name, title, (arch) => {
    const file = `${stem}-Minimal-VM.${arch}-Cloud.qcow2`;
    const port = name === "opensuse-tumbleweed" && arch === "aarch64" ? "ports/aarch64/" : "";
    return {
      folders: [`https://download.opensuse.org/${port}${folder}/appliances`],
      file,
      checksums: `${file}.sha256`,
    };
  });

export const CATALOGUE: readonly CatalogueEntry[] = [
  debian(12, "bookworm"),
  debian(13, "trixie"),
  ubuntu("22.04", "jammy"),
  ubuntu("24.04", "noble"),
  ubuntu("26.04", "resolute"),
  fedora(41, "1.4"),
  fedora(42, "1.1"),
  fedora(43, "1.6"),
  fedora(44, "1.7"),
  rocky(9),
  rocky(10),
  alma(9),
  alma(10),
  suse(
    "opensuse-leap-15.6",
    "openSUSE Leap 15.6",
    "distribution/leap/15.6",
    "openSUSE-Leap-15.6",
  ),
  suse("opensuse-tumbleweed", "openSUSE Tumbleweed", "tumbleweed", "openSUSE-Tumbleweed"),
  // Arch itself makes x86_64 only.
  entry("arch", "Arch Linux", () => ({
    folders: ["https://geo.mirror.pkgbuild.com/images/latest"],
    file: "Arch-Linux-x86_64-cloudimg.qcow2",
    checksums: "Arch-Linux-x86_64-cloudimg.qcow2.SHA256",
  }), { arches: ["x86_64"] }),
];

/** Other ways people write them. */
const ALIASES: Readonly<Record<string, string>> = {
  "debian-bookworm": "debian-12",
  "debian-trixie": "debian-13",
  "ubuntu-jammy": "ubuntu-22.04",
  "ubuntu-noble": "ubuntu-24.04",
  "rockylinux-9": "rocky-9",
  "rockylinux-10": "rocky-10",
  "almalinux-9": "alma-9",
  "almalinux-10": "alma-10",
  "archlinux": "arch",
};

/** The entry of a short name or alias; undefined when there is none. */
export function findEntry(name: string): CatalogueEntry | undefined {
  const canonical = Object.hasOwn(ALIASES, name) ? ALIASES[name] : name;
  return CATALOGUE.find((entry) => entry.name === canonical);
}

/** What somebody may have meant who wrote a name that is none. */
export function nearestName(name: string): string | undefined {
  return nearest(name, [...CATALOGUE.map((entry) => entry.name), ...Object.keys(ALIASES)]);
}

/** @throws {RumError} `image_not_found`, with the nearest name, when there is no such short name */
export function lookUpEntry(name: string): CatalogueEntry {
  const found = findEntry(name);
  if (found !== undefined) return found;
  const near = nearestName(name);
  throw new RumError(
    "image_not_found",
    `Cannot find an image named "${name}": it is none of the short names that rum knows` +
      (near === undefined ? "" : `; did you mean "${near}"?`),
    { hint: near === undefined ? "rum image search" : `rum image pull ${near}` },
  );
}

/** @throws {RumError} `image_not_found` when the distributor makes none for this architecture */
export function sourceFor(entry: CatalogueEntry, arch: Arch): CatalogueSource {
  const source = entry.sources[arch];
  if (source !== undefined) return source;
  throw new RumError(
    "image_not_found",
    `Cannot fetch ${entry.name} for ${arch}: its distributor makes it for ${
      Object.keys(entry.sources).join(", ")
    } only`,
    { hint: "rum image search" },
  );
}

/** Entries whose name or title holds every word of `text`, in the table's order. */
export function searchCatalogue(text: string): readonly CatalogueEntry[] {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== "");
  return CATALOGUE.filter(({ name, title }) => {
    const hay = `${name} ${title}`.toLowerCase();
    return words.every((word) => hay.includes(word));
  });
}
