/**
 * How a host folder reaches the guest (SPEC section 3): the type that was asked for, or the first of
 * virtiofs → 9p → sync that host and guest can do, always with the reason, because "why is this
 * slow" and "why does my write not show up" are answered by it.
 *
 * `readonly` must hold on the host, whatever guest root does:
 *   virtiofs   only where libvirt passes it on (libvirt 9 refuses it)
 *   9p         QEMU opens the export read-only
 *   sync       by its nature: the guest has a copy, and nothing it writes there travels back
 *              (`rum cp` pulls, on the host's initiative). So sync + readonly is fine
 */
import type { MountConfig } from "../config/types.ts";
import { RumError } from "../base/errors.ts";
import type { HostFacts, PlannedMount } from "./types.ts";

/** Distributions whose stock cloud kernel is known to carry 9p; Debian's, Rocky's, Alma's do not. */
const KERNELS_WITH_9P = /^(ubuntu|fedora|arch|opensuse)\b/;
/** virtio's limit on a 9p tag is 31 bytes, virtiofs's 36. */
const TAG_MAX = 31;

interface Verdict {
  readonly can: boolean;
  readonly why: string;
}

export function planMount(
  mount: MountConfig,
  facts: Pick<HostFacts, "virtiofs" | "ninep">,
  imageBase: string,
): PlannedMount {
  if (new TextEncoder().encode(mount.tag).length > TAG_MAX) {
    throw new RumError(
      "config_invalid",
      `Cannot use the tag "${mount.tag}" for ${mount.target}: at most ${TAG_MAX} bytes are wanted`,
    );
  }
  const { type, why } = choose(mount, facts, imageBase);
  return {
    source: mount.source,
    target: mount.target,
    tag: mount.tag,
    type,
    why,
    readonly: mount.readonly,
    default: mount.default,
    inotify: mount.inotify,
  };
}

function choose(
  mount: MountConfig,
  facts: Pick<HostFacts, "virtiofs" | "ninep">,
  imageBase: string,
): { type: PlannedMount["type"]; why: string } {
  const virtiofs = virtiofsVerdict(mount, facts.virtiofs);
  const ninep: Verdict = facts.ninep.available
    ? { can: true, why: facts.ninep.reason }
    : { can: false, why: facts.ninep.reason };
  switch (mount.type) {
    case "virtiofs":
      if (!virtiofs.can) throw refused(mount, "virtiofs", virtiofs.why);
      return { type: "virtiofs", why: "rum.toml asks for it" };
    case "9p":
      if (!ninep.can) throw refused(mount, "9p", ninep.why);
      return { type: "9p", why: "rum.toml asks for it" };
    case "sync":
      return { type: "sync", why: "rum.toml asks for it" };
    case "auto":
  }
  if (virtiofs.can) return { type: "virtiofs", why: virtiofs.why };
  if (ninep.can && KERNELS_WITH_9P.test(imageBase)) {
    return { type: "9p", why: `no virtiofs: ${virtiofs.why}` };
  }
  const no9p = ninep.can ? `the kernel of ${imageBase} is not known to carry it` : ninep.why;
  return { type: "sync", why: `no virtiofs: ${virtiofs.why}; no 9p: ${no9p}` };
}

function virtiofsVerdict(mount: MountConfig, virtiofs: HostFacts["virtiofs"]): Verdict {
  if (!virtiofs.available) return { can: false, why: virtiofs.reason };
  if (mount.readonly && virtiofs.readonly !== true) {
    return { can: false, why: "this libvirt cannot enforce readonly on virtiofs" };
  }
  return { can: true, why: virtiofs.reason };
}

function refused(mount: MountConfig, type: string, why: string): RumError {
  return new RumError(
    "not_supported",
    `Cannot mount ${mount.source} at ${mount.target} by ${type}` +
      `${mount.readonly ? " read-only" : ""}: ${why}`,
    { hint: 'Set type = "auto" for this mount' },
  );
}
