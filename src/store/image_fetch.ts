/**
 * One HTTP request at a time, with what an image download needs: redirects looked at before they are
 * followed (a body without a known checksum never comes by plain http), failures as sentences, and
 * a stall that ends instead of hanging.
 */
import { RumError } from "../base/errors.ts";
import { linkedAbort } from "../base/deadline.ts";

/** As `fetch`; handed in by tests. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface RequestOptions {
  readonly signal: AbortSignal;
  readonly headers?: Readonly<Record<string, string>>;
  /** Plain http is allowed: the bytes are checked against a digest that came another way. */
  readonly allowHttp: boolean;
  readonly fetch?: Fetch;
}

/** So long without a byte, and a download has stalled. */
export const STALL_MS = 60_000;
const MAX_REDIRECTS = 10;
const MAX_TEXT = 4 * 1024 * 1024;

/** Failed to get there, or was cut off: worth another try, and worth an image made here. */
export class Unreachable extends RumError {
  constructor(message: string, options: { cause?: unknown; hint?: string } = {}) {
    super("image_download", message, { ...options, data: { unreachable: true } });
  }
}

/** @throws {RumError} `image_download` or `image_not_found`; the body is the caller's to end */
export async function request(start: string, options: RequestOptions): Promise<Response> {
  let url = start;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    requireHttps(url, start, options.allowHttp);
    const response = await get(url, options);
    if (response.status < 300 || response.status >= 400 || response.status === 304) {
      return await accepted(response, url, options);
    }
    await response.body?.cancel().catch(() => {});
    const to = response.headers.get("location");
    if (to === null || !URL.canParse(to, url)) {
      throw new RumError(
        "image_download",
        `Cannot fetch ${url}: it redirects (HTTP ${response.status}) to no readable address`,
      );
    }
    url = new URL(to, url).href;
  }
  throw new RumError(
    "image_download",
    `Cannot fetch ${start}: more than ${MAX_REDIRECTS} redirects`,
  );
}

/**
 * A small text (a checksum file), read whole.
 *
 * @throws {RumError} `image_stalled` when the server takes the request and says nothing more
 */
export async function requestText(
  url: string,
  options: RequestOptions & { readonly stallMs?: number },
): Promise<string> {
  using watch = stallWatch(url, options.stallMs ?? STALL_MS, options.signal, "run it again");
  const response = await request(url, { ...options, signal: watch.signal });
  const reader = (response.body ?? new Blob([]).stream()).getReader();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for (;;) {
      watch.alive();
      const { value: chunk } = await untilAborted(reader.read(), watch.signal);
      if (chunk === undefined) break;
      if ((bytes += chunk.length) > MAX_TEXT) {
        throw new RumError(
          "image_download",
          `Cannot use ${url}: more than ${MAX_TEXT} bytes of text`,
        );
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw networkError(error, url, watch.signal);
  } finally {
    await reader.cancel().catch(() => {});
  }
  return await new Blob(chunks as BlobPart[]).text();
}

function requireHttps(url: string, start: string, allowHttp: boolean): void {
  const { protocol } = new URL(url);
  if (protocol === "https:" || (protocol === "http:" && allowHttp)) return;
  const by = url === start ? "" : ` (it redirects to ${url})`;
  throw new RumError(
    "image_download",
    protocol === "http:"
      ? `Cannot fetch ${start}${by}: plain http without image.sha256 could hand over anything`
      : `Cannot fetch ${start}${by}: want https, found "${protocol}"`,
    { hint: "set image.sha256 in rum.toml, or use an https URL" },
  );
}

async function get(url: string, options: RequestOptions): Promise<Response> {
  const send: Fetch = options.fetch ?? fetch;
  try {
    return await send(url, {
      redirect: "manual",
      signal: options.signal,
      headers: {
        // Bytes as they are: a range of a compressed transfer would be a range of something else.
        "accept-encoding": "identity",
        "user-agent": "rum",
        ...options.headers,
      },
    });
  } catch (error) {
    throw networkError(error, url, options.signal);
  }
}

async function accepted(
  response: Response,
  url: string,
  { headers }: RequestOptions,
): Promise<Response> {
  // "No such range" answers only who asked for one; asking such a server again has no end.
  const ranged = headers?.range !== undefined;
  if (response.ok || (ranged && response.status === 416)) return response;
  const text = `Cannot fetch ${url}: the server answers HTTP ${response.status}` +
    (response.statusText === "" ? "" : ` ${response.statusText}`);
  await response.body?.cancel().catch(() => {});
  if (response.status === 404 || response.status === 410) {
    throw new RumError("image_not_found", text);
  }
  if (response.status >= 500 || response.status === 429) throw new Unreachable(text);
  throw new RumError("image_download", text);
}

/** What `fetch` throws → a sentence. The caller's own abort is passed on as it is. */
export function networkError(error: unknown, url: string, signal?: AbortSignal): RumError {
  if (signal?.aborted) throw signal.reason;
  if (error instanceof RumError) return error;
  const { host } = new URL(url);
  const text = error instanceof Error ? error.message : String(error);
  const dns = /dns error|failed to lookup|name resolution/i.test(text);
  return new Unreachable(
    dns
      ? `Cannot reach ${host} to fetch ${url}: its name does not resolve (no network?)`
      : `Cannot reach ${host} to fetch ${url}: ${text.split("\n")[0]}`,
    { cause: error },
  );
}

/** A read that hangs inside the HTTP client still ends with the signal. */
export function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    // The same abort ends the read too; somebody has to have heard of it.
    work.catch(() => {});
    return Promise.reject(signal.reason);
  }
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  return promise;
}

/** Aborts with `image_stalled` unless `alive` is called every `stallMs`. */
export function stallWatch(
  what: string,
  stallMs: number,
  signal: AbortSignal | undefined,
  hint = "run it again: it goes on where it stopped",
): { signal: AbortSignal; alive: () => void } & Disposable {
  const linked = linkedAbort(signal);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      linked.abort(
        new RumError(
          "image_stalled",
          `The download of ${what} stalled: no byte for ${Math.round(stallMs / 1000)} s`,
          { hint },
        ),
      );
    }, stallMs);
  };
  alive();
  return {
    signal: linked.signal,
    alive,
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      linked[Symbol.dispose]();
    },
  };
}
