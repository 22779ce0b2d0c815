/**
 * The daemon's socket in the file system. Everything here that changes something runs under the
 * machine's lock, which is what makes removing somebody's leftover safe.
 *
 * The socket is bound under a name of our own and renamed, so that nobody ever connects to a socket
 * that is not listening, and so that closing the listener (which unlinks the name it was bound to)
 * cannot take a successor's socket away. What stands at the socket's name and is not a dead socket
 * of ours is refused and never deleted.
 */
import { RumError } from "../base/errors.ts";
import { faultPoint } from "../base/fault.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { folderMode } from "../store/machine_folder.ts";
import { ensureOwnFolder, fileError } from "../store/ownership.ts";

export interface Published {
  readonly listener: Deno.UnixListener;
  readonly boundPath: string;
  /** Is the name still our socket? */
  stillOurs(): Promise<boolean>;
  /** Takes the name away if it is still ours. Never throws. */
  remove(): Promise<void>;
}

/** @throws {RumError} `state_invalid` or `not_owner` for what stands at the socket's name */
export async function publishSocket(paths: MachinePaths): Promise<Published> {
  await ensureOwnFolder(paths.socketFolder, { mode: folderMode() });
  const boundPath = paths.pendingSocket(Deno.pid);
  await clearPending(paths);
  await clearName(paths.socket);
  let listener: Deno.UnixListener;
  const before = Deno.umask(0o077);
  try {
    listener = Deno.listen({ transport: "unix", path: boundPath });
  } catch (thrown) {
    throw fileError(thrown, `Cannot listen at "${boundPath}"`);
  } finally {
    Deno.umask(before);
  }
  try {
    await Deno.chmod(boundPath, 0o600);
    await faultPoint("publish.bound");
    await Deno.rename(boundPath, paths.socket);
    await faultPoint("publish.renamed");
  } catch (thrown) {
    listener.close();
    throw fileError(thrown, `Cannot publish "${paths.socket}"`);
  }
  const ours = await Deno.lstat(paths.socket);
  const stillOurs = async () => {
    const now = await lstat(paths.socket);
    return now !== undefined && now.ino === ours.ino && now.dev === ours.dev;
  };
  return {
    listener,
    boundPath,
    stillOurs,
    async remove() {
      if (await stillOurs().catch(() => false)) await Deno.remove(paths.socket).catch(() => {});
    },
  };
}

/** What stands at the socket's name: nothing, or a socket of ours, dead or alive. */
export async function checkSocketName(
  path: string,
  uid: number = Deno.uid() ?? 0,
): Promise<"absent" | "socket"> {
  const info = await lstat(path);
  if (info === undefined) return "absent";
  if (!info.isSocket) {
    const found = info.isSymlink ? "a symbolic link" : info.isFile ? "a regular file" : "something";
    throw new RumError(
      "state_invalid",
      `Cannot use "${path}": found ${found}, wanted the socket of the background process`,
      { hint: `ls -l ${path}` },
    );
  }
  if (info.uid !== uid) {
    throw new RumError(
      "not_owner",
      `Cannot use "${path}": the socket belongs to uid ${info.uid}, wanted ${uid}`,
      { hint: `ls -l ${path}` },
    );
  }
  return "socket";
}

/** Sockets that killed holders bound and did not get to publish. */
async function clearPending(paths: MachinePaths): Promise<void> {
  const own = paths.pendingSocket(Deno.pid);
  for await (const { name, isSymlink, isFile } of Deno.readDir(paths.socketFolder)) {
    const path = `${paths.socketFolder}/${name}`;
    // What is no socket is refused only where it is in our own way.
    if (/^rum\.sock\.\d+$/.test(name) && (path === own || !isSymlink && !isFile)) {
      await clearName(path);
    }
  }
}

/** A dead socket of ours goes; a living one is somebody who does not hold the lock. */
async function clearName(path: string): Promise<void> {
  if (await checkSocketName(path) === "absent") return;
  try {
    const conn = await Deno.connect({ transport: "unix", path });
    conn.close();
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return;
    if (thrown instanceof Deno.errors.ConnectionRefused) {
      await Deno.remove(path);
      return;
    }
    throw fileError(thrown, `Cannot find out whose socket "${path}" is`);
  }
  throw new RumError(
    "state_invalid",
    `Cannot use "${path}": another process listens there, and it is not the machine's holder`,
    { hint: `ss -xlp src ${path}` },
  );
}

async function lstat(path: string): Promise<Deno.FileInfo | undefined> {
  try {
    return await Deno.lstat(path);
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return undefined;
    throw fileError(thrown, `Cannot look at "${path}"`);
  }
}
