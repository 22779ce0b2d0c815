/** The guest's side of a host folder, by the mounts that cover it; the innermost one counts. Pure. */
import type { PlannedMount } from "../plan/types.ts";

export function guestFolderOf(
  mounts: readonly Pick<PlannedMount, "source" | "target">[],
  hostFolder: string,
): string | undefined {
  let best: Pick<PlannedMount, "source" | "target"> | undefined;
  for (const mount of mounts) {
    const covers = hostFolder === mount.source ||
      hostFolder.startsWith(mount.source === "/" ? "/" : `${mount.source}/`);
    if (covers && (best === undefined || mount.source.length > best.source.length)) best = mount;
  }
  if (best === undefined) return undefined;
  const below = hostFolder.slice(best.source === "/" ? 0 : best.source.length);
  return `${best.target === "/" ? "" : best.target}${below}` || "/";
}
