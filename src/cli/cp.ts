/**
 * `rum cp [-r] SRC DST`: this process reads and writes the host's side, with its user's rights and
 * from its folder; the daemon is the way to the agent, which does the guest's side. One side begins
 * with a colon; `-` is stdin or stdout.
 */
import { EXIT, RumError } from "../base/errors.ts";
import { resolve } from "../base/posix_path.ts";
import { formatSize } from "../base/units.ts";
import { cpLink } from "../daemon/client_stream.ts";
import {
  copyFromGuest,
  type CopyOptions,
  type CopyResult,
  copyToGuest,
  streamFromGuest,
  streamToGuest,
  type ToGuest,
} from "../guest/copy.ts";
import { readState } from "../store/state_file.ts";
import type { Mux } from "../wire/mux_types.ts";
import { copyProgress } from "./cp_progress.ts";
import { daemonClient } from "./daemon_client.ts";
import { hostStdin, writeFully } from "./exec_streams.ts";
import { type Target, targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { out, signal } = context;
  const sides = cpSides(call.operands);
  const owner = call.options.owner;
  if (owner !== undefined && sides.direction === "from_guest") {
    throw new RumError(
      "usage",
      "Cannot set an --owner on this host: it is for copies into the guest",
    );
  }
  const target = await targetOf(context);
  const user = await guestUser(target);
  const path = guestPath(sides.guest, homeOf(user));
  await using client = await daemonClient(context, target);
  const { mux, cause } = cpLink(client);
  using progress = copyProgress(context, sides.host === "-" ? sides.guest : sides.host);
  let result: CopyResult;
  try {
    const owned = (to: string) => {
      if (typeof owner === "string") return { user: owner, ofNew: false };
      const found = ownerOf(to, user);
      return found === undefined ? undefined : { user: found, ofNew: true };
    };
    result = await copy(mux, { ...sides, guest: path, owner: owned }, context, {
      recursive: call.options.recursive === true,
      signal,
      progress: progress.add,
      total: progress.total,
      leftOut: (why) => progress.note(`left out: ${why}`),
    });
  } catch (thrown) {
    if (signal.aborted) throw signal.reason;
    throw cause(thrown);
  }
  progress.end();
  if (sides.direction === "from_guest" && sides.host === "-") return EXIT.ok;
  const { bytes, files, digest, leftOut } = result;
  out.document("cp", {
    bytes,
    files,
    ...(digest === undefined ? {} : { digest }),
    target: result.target,
    left_out: leftOut,
  }, () => out.mode === "interactive" ? sentence(result) : "");
  return EXIT.ok;
}

interface Sides {
  readonly direction: "to_guest" | "from_guest";
  readonly host: string;
  readonly guest: string;
}

/** @throws {RumError} `usage` unless exactly one side is the guest's */
export function cpSides(operands: readonly string[]): Sides {
  const [from = "", to = ""] = operands;
  if (operands.includes("")) {
    throw new RumError("usage", "Cannot copy: one of the two sides is empty", {
      hint: "rum cp --help",
    });
  }
  const [there, back] = [from, to].map((each) => each.startsWith(":"));
  if (there === back || operands.length !== 2) {
    throw new RumError(
      "usage",
      there
        ? "Cannot copy from guest to guest: one side must be on this host"
        : "Cannot copy without a guest side: one of the two begins with a colon",
      { hint: "rum cp file :/path" },
    );
  }
  return there
    ? { direction: "from_guest", host: to, guest: from.slice(1) }
    : { direction: "to_guest", host: from, guest: to.slice(1) };
}

/** Relative ones begin at the user's home, as scp's do. */
export function guestPath(path: string, home: string): string {
  const slash = /\/$|\/\.$/.exec(path)?.[0] ?? "";
  const full = path === "~" || path.startsWith("~/") ? home + path.slice(1) : path;
  const whole = resolve(home, full);
  return whole === "/" ? "/" : whole + slash;
}

/** A file in somebody's home that they may not change would be a surprise. */
export function ownerOf(path: string, user: string): string | undefined {
  const home = homeOf(user);
  return path === home || path.startsWith(`${home}/`) ? user : undefined;
}

export function homeOf(user: string): string {
  return user === "root" ? "/root" : `/home/${user}`;
}

async function guestUser({ paths }: Target): Promise<string> {
  const state = await readState(paths);
  return state.kind === "ok" ? state.record.plan?.user.name ?? "rum" : "rum";
}

async function copy(
  mux: Mux,
  sides: Sides & Pick<ToGuest, "owner">,
  context: Context,
  options: CopyOptions,
): Promise<CopyResult> {
  const { direction, host, guest, owner } = sides;
  // A trailing slash or dot says something, and resolving would lose it.
  const local = host.startsWith("/") ? host : `${context.cwd}/${host}`;
  if (direction === "to_guest") {
    return host === "-"
      ? await streamToGuest(mux, hostStdin(), { to: guest, owner }, options)
      : await copyToGuest(mux, { from: local, to: guest, owner }, options);
  }
  return host === "-"
    ? await streamFromGuest(mux, guest, (bytes) => writeFully(Deno.stdout, bytes), options)
    : await copyFromGuest(mux, { from: guest, to: local }, options);
}

function sentence({ bytes, files, target, leftOut }: CopyResult): string {
  const what = files === 1 ? "1 file" : `${files} files`;
  const without = leftOut.length === 0 ? "" : `, ${leftOut.length} left out`;
  return `${what}, ${formatSize(bytes)}${without} -> ${target}`;
}
