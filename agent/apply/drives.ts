/**
 * Extra disks by their serial: letters change from boot to boot, a serial never does. sysfs first,
 * because it is there before udev has made its links.
 */
import { RumError } from "../../src/base/errors.ts";
import { readText } from "../facts.ts";
import { must, tool } from "./tools.ts";

const APPEAR_MS = 10_000;
const LOOK_MS = 100;

/** @throws {RumError} `mount_failed` when no disk with that serial appears */
export async function deviceBySerial(serial: string): Promise<string> {
  const until = performance.now() + APPEAR_MS;
  for (;;) {
    for await (const entry of Deno.readDir("/sys/block")) {
      const found = (await readText(`/sys/block/${entry.name}/serial`)).trim();
      if (found === serial) return `/dev/${entry.name}`;
    }
    const link = `/dev/disk/by-id/virtio-${serial}`;
    const real = await Deno.realPath(link).catch(() => undefined);
    if (real !== undefined) return real;
    if (performance.now() > until) {
      throw new RumError("mount_failed", `The guest has no disk with the serial "${serial}"`);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

export interface Content {
  readonly type: string;
  readonly uuid: string;
}

/**
 * What a disk holds; undefined only when nothing at all is recognised on it.
 *
 * @throws {RumError} `mount_failed` when that cannot be told: then nothing is ever formatted
 */
export async function contentOf(device: string): Promise<Content | undefined> {
  const { code, out, err } = await tool("blkid", "-p", "-o", "export", device);
  if (code === 2 && out === "") return undefined;
  if (code !== 0) {
    throw new RumError(
      "mount_failed",
      `Cannot tell what ${device} holds: ${err || `code ${code}`}`,
    );
  }
  const field = (name: string) =>
    out.split("\n").find((line) => line.startsWith(`${name}=`))?.slice(name.length + 1);
  return { type: field("TYPE") ?? field("PTTYPE") ?? "something", uuid: field("UUID") ?? "" };
}

/** A blank disk gets the file system; anything else is left as it is. */
export async function format(
  type: "ext4" | "xfs" | "btrfs",
  devices: readonly string[],
): Promise<void> {
  if (type === "ext4") await must("mkfs.ext4", "-q", "-F", ...devices);
  else if (type === "xfs") await must("mkfs.xfs", "-q", ...devices);
  else await must("mkfs.btrfs", "-q", ...devices);
}
