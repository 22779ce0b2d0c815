/**
 * `rum image …`: the cache of base images. One module for all subverbs; each is a few lines over
 * `src/store`. Progress goes to stderr on a terminal, as records in JSON, as notes in plain text.
 */
import { EXIT, RumError } from "../base/errors.ts";
import { formatSize } from "../base/units.ts";
import type { ImageConfig } from "../config/types.ts";
import { CATALOGUE, searchCatalogue } from "../image/catalogue.ts";
import type { Arch } from "../plan/types.ts";
import {
  findImages,
  type ListedImage,
  listImages,
  nameOf,
  pruneImages,
  removeImage,
} from "../store/image_cache.ts";
import { verifyImage } from "../store/image_hash.ts";
import { prepareCache } from "../store/image_layout.ts";
import { imageProgress } from "./image_progress.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  switch (call.verb[1]) {
    case "ls":
      return await list(context);
    case "search":
      return search(context, call);
    case "pull":
      return await pull(context, call);
    case "build":
      return await build(context, call);
    case "verify":
      return await verify(context, call);
    case "rm":
      return await remove(context, call);
    case "prune":
      return await prune(context);
    default:
      throw new RumError("usage", `Cannot run "rum ${call.verb.join(" ")}": no such command`, {
        hint: "rum image --help",
      });
  }
}

/** A path image has a name for every project that used it; the table shows the first two. */
function shortList(names: readonly string[]): string {
  if (names.length === 0) return "-";
  const more = names.length > 2 ? `, and ${names.length - 2} more` : "";
  return names.slice(0, 2).join(", ") + more;
}

async function list({ out, paths }: Context): Promise<number> {
  const images = await listImages(paths);
  out.document("image_list", { images: images.map(imageBody) }, () => {
    if (images.length === 0) return "No images in the cache";
    return table([
      ["NAME", "DIGEST", "FORMAT", "SIZE", "DISK", "VERIFIED", "USED BY"],
      ...images.map((image) => [
        shortList(image.names),
        image.digest.slice(0, 12),
        image.format,
        formatSize(image.size),
        formatSize(image.virtualSizeBytes),
        [...new Set(image.sources.map((source) => source.verified_by))].join(", ") || "-",
        image.usedBy.join(", ") || "-",
      ]),
    ]);
  });
  return EXIT.ok;
}

function search({ out }: Context, call: VerbCall): number {
  const text = call.operands.join(" ");
  const arch = hostArch();
  const found = searchCatalogue(text);
  const entries = found.map(({ name, title, sources, buildable }) => ({
    name,
    title,
    architectures: Object.keys(sources),
    available: sources[arch] !== undefined,
    buildable,
  }));
  out.document("image_search", { arch, entries }, () => {
    if (entries.length === 0) {
      return `No short name matches "${text}"; rum knows ${CATALOGUE.length}, any https URL or path works too`;
    }
    return table([
      ["NAME", "WHAT", "FOR"],
      ...entries.map((entry) => [
        entry.name,
        entry.title + (entry.buildable ? " (rum image build can make it)" : ""),
        entry.architectures.join(", "),
      ]),
    ]);
  });
  return EXIT.ok;
}

async function pull(context: Context, call: VerbCall): Promise<number> {
  const { out, paths, signal } = context;
  const { image, lockFile } = await imageOf(context, call.operands[0]);
  const { ensureImage } = await import("../store/image_ensure.ts");
  using show = imageProgress(context, image.base);
  const got = await ensureImage({
    image,
    arch: hostArch(),
    paths,
    lockFile,
    // Asked for by name, it is fetched again: "latest" may be another one by now.
    refresh: call.operands[0] !== undefined && image.kind !== "path",
    signal,
    progress: show.progress,
  });
  show.clear();
  for (const note of got.notes) out.note(note);
  const { digest, format, path, size, virtualSizeBytes, verifiedBy, cached } = got;
  out.document(
    "image",
    {
      name: image.base,
      digest,
      format,
      path,
      size,
      virtual_size: virtualSizeBytes,
      verified_by: verifiedBy,
      cached,
    },
    () =>
      `${image.base}: ${cached ? "in the cache" : "fetched"}, ${formatSize(size)}, ` +
      `${verifiedWords[verifiedBy]}, sha256 ${digest}`,
  );
  return EXIT.ok;
}

const verifiedWords = {
  config: "checked against image.sha256",
  distributor: "checked against the distributor's checksum file",
  "rum.lock": "checked against rum.lock",
  first_use: "nothing to check it against",
  local: "copied from this host",
  built: "built on this host",
} as const;

async function build(context: Context, call: VerbCall): Promise<number> {
  const { out, paths, signal } = context;
  const name = call.operands[0];
  const { buildImage } = await import("../store/image_build.ts");
  const begun = performance.now();
  using show = imageProgress(context, name);
  const got = await buildImage({
    name,
    arch: hostArch(),
    paths,
    mirror: call.options.mirror as string | undefined,
    signal,
    progress: show.progress,
    onNote: (sentence) => out.note(sentence),
  });
  show.clear();
  const { digest, format, path, size, virtualSizeBytes, verifiedBy, cached } = got;
  out.document(
    "image",
    {
      name,
      digest,
      format,
      path,
      size,
      virtual_size: virtualSizeBytes,
      verified_by: verifiedBy,
      cached,
    },
    () =>
      `${name}: built in ${Math.round((performance.now() - begun) / 1000)} s, ` +
      `${formatSize(size)}, sha256 ${digest}`,
  );
  return EXIT.ok;
}

async function verify(context: Context, call: VerbCall): Promise<number> {
  const { out, paths, signal } = context;
  const wanted = call.operands[0];
  const images = wanted === undefined ? await listImages(paths) : await findImages(paths, wanted);
  const layout = await prepareCache(paths);
  const bad: RumError[] = [];
  using show = imageProgress(context, wanted ?? "images");
  for (const image of images) {
    try {
      await verifyImage(layout, image, { signal, progress: show.progress });
      show.clear();
      out.record("image_verified", { ...imageBody(image), ok: true }, () => `${nameOf(image)}: ok`);
    } catch (error) {
      if (!(error instanceof RumError) || error.code !== "image_checksum") throw error;
      show.clear();
      bad.push(error);
      out.record(
        "image_verified",
        { ...imageBody(image), ok: false },
        () => `${nameOf(image)}: CHANGED`,
      );
    }
  }
  if (bad.length > 0) throw bad[0];
  return EXIT.ok;
}

async function remove({ out, paths }: Context, call: VerbCall): Promise<number> {
  for (const image of await findImages(paths, call.operands[0])) {
    await removeImage(paths, image);
    out.record(
      "image_removed",
      imageBody(image),
      () => `Removed ${nameOf(image)}, ${formatSize(image.size)}`,
    );
  }
  return EXIT.ok;
}

async function prune({ out, paths }: Context): Promise<number> {
  const { removed, kept, freedBytes } = await pruneImages(paths);
  out.document(
    "image_pruned",
    { removed: removed.map(imageBody), kept: kept.map(imageBody), freed: freedBytes },
    () =>
      [
        ...removed.map((image) => `Removed ${nameOf(image)}`),
        ...kept.map((image) =>
          `Kept ${nameOf(image)}, used by ${image.usedBy.join(", ") || "a machine being made"}`
        ),
        `Freed ${formatSize(freedBytes)}`,
      ].join("\n"),
  );
  return EXIT.ok;
}

function imageBody(image: ListedImage) {
  return {
    names: image.names,
    digest: image.digest,
    format: image.format,
    path: image.path,
    size: image.size,
    virtual_size: image.virtualSizeBytes,
    sources: image.sources.map(({ source, url, verified_by, fetched_at }) => ({
      source,
      url,
      verified_by,
      fetched_at,
    })),
    used_by: image.usedBy,
  };
}

/** The operand, or without one the image of the project's rum.toml, with its rum.lock. */
async function imageOf(
  context: Context,
  operand: string | undefined,
): Promise<{ image: ImageConfig; lockFile?: string }> {
  if (operand === undefined) {
    const { nearestConfig } = await import("./nearest_config.ts");
    const config = await nearestConfig(context);
    return { image: config.image, lockFile: `${config.folder}/rum.lock` };
  }
  const { imageKind } = await import("../config/image_kind.ts");
  const kind = imageKind(operand);
  if (kind !== "path") return { image: { base: operand, kind } };
  return { image: { base: await canonical(operand, context.cwd), kind } };
}

async function canonical(path: string, cwd: string): Promise<string> {
  const absolute = path.startsWith("/") ? path : `${cwd}/${path}`;
  try {
    return await Deno.realPath(absolute);
  } catch {
    return absolute;
  }
}

function hostArch(): Arch {
  return Deno.build.arch;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) => row.map((cell, i) => cell.padEnd(widths[i])).join("  ").trimEnd())
    .join("\n");
}
