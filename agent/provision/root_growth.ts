/**
 * Whether the root file system has its whole disk yet. cloud-init grows it on every boot, and the agent is up
 * before: a first script that installs things would meet the two gigabytes of the image. Told by the partition
 * and not by the clock: no cloud-init in this boot, or its stage over, and nothing more will come.
 */
import { must } from "../apply/tools.ts";
import { mountedAt } from "../apply/mountinfo.ts";
import { exists, readText } from "../facts.ts";
import type { Wait } from "./waits.ts";

const SECTOR = 512;
/** Less than this is the end of a partition table, or nothing to wait for. */
const WORTH_GROWING = 64 * 2 ** 20;
/** Of a partition, a grown file system has at least so much; what it needs for itself is not told. */
const MOST = 0.8;

export interface GrowthPlaces {
  readonly cloudInit: string;
  readonly blocks: string;
  /** What is mounted at /. */
  source(): Promise<string | undefined>;
  /** Of the file system there. */
  bytes(): Promise<number>;
}

export function rootGrowthWait(root: string, places: GrowthPlaces = guestPlaces(root)): Wait {
  let gap = false;
  return {
    name: "the root file system",
    timeoutMs: 120_000,
    async look() {
      if (!await exists(`${places.cloudInit}/enabled`)) return undefined;
      if (await firstStagesOver(places.cloudInit)) return undefined;
      const partition = await rootPartition(places);
      if (partition === undefined) return undefined;
      if (partition.behind >= WORTH_GROWING) gap = true;
      else if (!gap || await places.bytes() >= partition.bytes * MOST) return undefined;
      return "cloud-init has not grown it yet";
    },
  };
}

function guestPlaces(root: string): GrowthPlaces {
  return {
    cloudInit: `${root}/run/cloud-init`,
    blocks: "/sys/class/block",
    source: async () => (await mountedAt("/"))?.source,
    async bytes() {
      const [blocks, size] = (await must("stat", "--file-system", "--format=%b %S", "/")).split(
        " ",
      );
      return Number(blocks) * Number(size);
    },
  };
}

async function firstStagesOver(folder: string): Promise<boolean> {
  try {
    const told = JSON.parse(await readText(`${folder}/status.json`));
    return typeof told?.v1?.init?.finished === "number";
  } catch {
    return false;
  }
}

/** Its size and the room behind it on its disk; undefined where the root is no partition. */
async function rootPartition(
  places: GrowthPlaces,
): Promise<{ bytes: number; behind: number } | undefined> {
  const source = await places.source();
  if (!source?.startsWith("/dev/")) return undefined;
  const folder = await Deno.realPath(`${places.blocks}/${source.slice("/dev/".length)}`)
    .catch(() => undefined);
  if (folder === undefined) return undefined;
  const number = async (path: string) => Number(await readText(path) || NaN) * SECTOR;
  const [bytes, start, disk] = await Promise.all([
    number(`${folder}/size`),
    number(`${folder}/start`),
    number(`${folder}/../size`),
  ]);
  const behind = disk - start - bytes;
  return Number.isFinite(behind) ? { bytes, behind } : undefined;
}
