/**
 * What the image tests share: a cache of its own, an HTTP server that can misbehave on purpose and
 * counts what it is asked for, and small images made by qemu-img.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { RumError } from "../../src/base/errors.ts";
import type { ImageConfig } from "../../src/config/types.ts";
import { type RumPaths, rumPaths } from "../../src/plan/paths.ts";
import { ensureImage, type EnsureImageOptions } from "../../src/store/image_ensure.ts";
import type { Fetch } from "../../src/store/image_fetch.ts";

export interface Bench extends AsyncDisposable {
  readonly folder: string;
  readonly paths: RumPaths;
  /** Everything below the cache, but locks: what a failure may not leave behind. */
  left(): Promise<string[]>;
}

export async function bench(): Promise<Bench> {
  const folder = await Deno.makeTempDir({ prefix: "rum-image-" });
  const paths = rumPaths({
    uid: Deno.uid() ?? 0,
    home: folder,
    xdgDataHome: `${folder}/data`,
    xdgCacheHome: `${folder}/cache`,
  });
  return {
    folder,
    paths,
    left: async () => (await tree(paths.images)).filter((path) => !path.startsWith("locks/")),
    [Symbol.asyncDispose]: () => Deno.remove(folder, { recursive: true }),
  };
}

async function tree(root: string, prefix = ""): Promise<string[]> {
  const found: string[] = [];
  try {
    for await (const entry of Deno.readDir(`${root}/${prefix}`)) {
      if (entry.isDirectory) found.push(...await tree(root, `${prefix}${entry.name}/`));
      else found.push(`${prefix}${entry.name}`);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort();
}

export const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
export const sha512 = (bytes: Uint8Array) => createHash("sha512").update(bytes).digest("hex");

/** A qcow2 of about `bytes` of data that no two calls share. */
export async function makeImage(
  folder: string,
  bytes = 400_000,
  args: readonly string[] = [],
): Promise<Uint8Array<ArrayBuffer>> {
  const raw = `${folder}/make.raw`;
  const data = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65536) crypto.getRandomValues(data.subarray(at, at + 65536));
  await Deno.writeFile(raw, data);
  await qemuImg("convert", "-f", "raw", "-O", "qcow2", ...args, raw, `${folder}/make.qcow2`);
  const image = await Deno.readFile(`${folder}/make.qcow2`);
  await Deno.remove(raw);
  await Deno.remove(`${folder}/make.qcow2`);
  return image;
}

export async function qemuImg(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("qemu-img", { args }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

export interface Misbehaviour {
  /** Ends the connection after so many bytes of each body. */
  readonly cutAfter?: number;
  /** Sends that many bytes of the body and then nothing more. */
  readonly hangAfter?: number;
  /** Takes the request and says nothing, not even a status. */
  readonly silent?: boolean;
  /** Waits so long before each 16 KiB. */
  readonly slowMs?: number;
  readonly status?: number;
  readonly type?: string;
  readonly redirect?: string;
  readonly withoutLength?: boolean;
  readonly withoutRanges?: boolean;
}

export interface Site extends AsyncDisposable {
  readonly url: (path: string) => string;
  /** "GET /x" or "GET /x bytes=100-", in the order they came. */
  readonly requests: string[];
  put(path: string, body: Uint8Array | string, how?: Misbehaviour): void;
  /** `fetch` for code that insists on https: every https host is this server. */
  readonly fetch: Fetch;
}

export function site(): Site {
  const files = new Map<string, { body: Uint8Array<ArrayBuffer>; how: Misbehaviour }>();
  const requests: string[] = [];
  const stop = new AbortController();
  const server = Deno.serve(
    {
      hostname: "127.0.0.1",
      port: 0,
      signal: stop.signal,
      onListen: () => {},
      onError: () => new Response(),
    },
    (request) => {
      const { pathname } = new URL(request.url);
      const range = request.headers.get("range");
      requests.push(`${request.method} ${pathname}${range === null ? "" : ` ${range}`}`);
      const file = files.get(pathname);
      if (file === undefined) return new Response("no", { status: 404 });
      return answer(file.body, file.how, request, stop.signal);
    },
  );
  const origin = `http://127.0.0.1:${server.addr.port}`;
  return {
    requests,
    url: (path) => origin + path,
    put(path, body, how = {}) {
      const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
      files.set(path, { body: new Uint8Array(bytes), how });
    },
    fetch: (url, init) => fetch(url.replace(/^https:\/\/[^/]+/, origin), init),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await server.finished.catch(() => {});
    },
  };
}

function answer(
  body: Uint8Array<ArrayBuffer>,
  how: Misbehaviour,
  request: Request,
  stopped: AbortSignal,
): Response | Promise<Response> {
  if (how.silent) {
    return new Promise((resolve) => {
      stopped.addEventListener("abort", () => resolve(new Response()), { once: true });
    });
  }
  if (how.redirect !== undefined) {
    return new Response(null, { status: 302, headers: { location: how.redirect } });
  }
  if (how.status !== undefined) return new Response("sorry", { status: how.status });
  const etag = `"${sha256(body).slice(0, 16)}"`;
  const headers = new Headers({ etag, "content-type": how.type ?? "application/octet-stream" });
  const match = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "");
  const fresh = request.headers.get("if-range") === etag;
  const from = match !== null && fresh && !how.withoutRanges ? Number(match[1]) : 0;
  if (from > 0 && from >= body.length) return new Response(null, { status: 416 });
  const rest = body.subarray(from);
  const status = from > 0 ? 206 : 200;
  if (from > 0) headers.set("content-range", `bytes ${from}-${body.length - 1}/${body.length}`);
  if (!how.withoutLength) headers.set("content-length", String(rest.length));
  const { cutAfter = Infinity, hangAfter = Infinity, slowMs = 0 } = how;
  let at = 0;
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (slowMs > 0) await new Promise((resolve) => setTimeout(resolve, slowMs));
      if (at >= hangAfter) {
        // Held open until the test ends: the client has to give up by itself.
        await new Promise<void>((resolve) => {
          stopped.addEventListener("abort", () => resolve(), { once: true });
        });
        return controller.close();
      }
      if (at >= rest.length) return controller.close();
      if (at >= cutAfter) return controller.error(new Error("cut on purpose"));
      const end = Math.min(at + 16384, rest.length, cutAfter, hangAfter);
      controller.enqueue(rest.slice(at, end));
      at = end;
    },
  });
  return new Response(stream, { status, headers });
}

export function fetchImage(
  bench: Bench,
  image: Partial<ImageConfig> & { base: string },
  options: Partial<EnsureImageOptions> = {},
) {
  return ensureImage({
    image: { kind: "url", ...image },
    arch: "x86_64",
    paths: bench.paths,
    retries: 1,
    retryDelayMs: 1,
    ...options,
  });
}

/** The RumError that `work` fails with; its sentence is checked too, because people read it. */
export async function failure(
  work: Promise<unknown>,
  code: string,
  sentence: RegExp,
): Promise<RumError> {
  const error = await work.then(() => assert.fail(`nothing failed, wanted ${code}`), (e) => e);
  assert.ok(error instanceof RumError, `${error?.stack ?? error}`);
  assert.equal(error.code, code, error.message);
  assert.match(error.message, sentence);
  return error;
}
