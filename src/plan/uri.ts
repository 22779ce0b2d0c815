/**
 * Which of libvirt's doors a machine uses (SPEC section 9). Pure: the adapter finds out whether the
 * system daemon answers and hands it in.
 *
 *   recorded at creation   → that one, for ever (a machine does not move by itself)
 *   explicit in rum.toml   → that one
 *   ordinary user          → qemu:///session (libvirt starts it by itself)
 *   root, system answers   → qemu:///system
 *   root otherwise         → qemu:///embed?root=…, libvirt's driver inside rum's own daemon
 *
 * An ordinary user is never moved to the system daemon silently: its QEMU runs as another user and
 * cannot traverse a 0700 home. Who wants its networks says so in `[advanced] libvirt_uri`.
 */
import { RumError } from "../base/errors.ts";
import type { HypervisorChoice } from "./types.ts";

export interface UriFacts {
  readonly uid: number;
  /** `[advanced] libvirt_uri`: `auto` or a URI. */
  readonly wanted: string;
  /** What was recorded when the machine was created; absent for a new one. */
  readonly recorded?: HypervisorChoice;
  /** Asked only of root with `auto` (see `needsSystemProbe`); what was found, as a sentence part. */
  readonly system?: { readonly answers: boolean; readonly detail: string };
  /** `MachinePaths.embedRoot`. */
  readonly embedRoot: string;
}

/** True when the adapter must ask the system daemon before `chooseHypervisor` is called. */
export function needsSystemProbe(facts: Pick<UriFacts, "uid" | "wanted" | "recorded">): boolean {
  return facts.recorded === undefined && facts.wanted === "auto" && facts.uid === 0;
}

/** @throws {RumError} `config_invalid` when the explicit URI is none of QEMU's or the test driver's */
export function chooseHypervisor(facts: UriFacts): HypervisorChoice {
  if (facts.wanted !== "auto") return explicit(facts);
  if (facts.recorded !== undefined) return facts.recorded;
  if (facts.uid !== 0) {
    return {
      uri: "qemu:///session",
      kind: "session",
      reason: "An ordinary user gets the per-user session, which libvirt starts by itself",
    };
  }
  if (facts.system?.answers === true) {
    return {
      uri: "qemu:///system",
      kind: "system",
      reason: "Running as root, and the system daemon answers",
    };
  }
  return {
    uri: embedUri(facts.embedRoot),
    kind: "embed",
    reason: "Running as root, and the system daemon does not answer" +
      (facts.system === undefined ? "" : ` (${facts.system.detail})`) +
      "; libvirt's QEMU driver runs inside rum's own background process",
  };
}

/** libvirt unescapes the query, so a folder may hold any character. */
export function embedUri(root: string): string {
  return `qemu:///embed?root=${root.split("/").map(encodeURIComponent).join("/")}`;
}

/** In sentences about a URI that is none of them. */
export const QEMU_DOORS =
  "qemu:///system, qemu:///session, qemu:///embed or qemu+ssh://HOST/system";

/** What kind of door a URI is; undefined when rum cannot use it. */
export function uriKind(uri: string): HypervisorChoice["kind"] | undefined {
  const match = /^(qemu|test|fake)(\+[a-z0-9]+)?:\/\/([^/?#]*)(\/[^?#]*)?/.exec(uri);
  if (match === null) return undefined;
  const [, driver, transport, host, path] = match;
  if (driver === "fake") return "fake";
  const local = host === "" && (transport === undefined || transport === "+unix");
  if (!local) return "remote";
  if (driver === "test") return "test";
  if (path === "/system") return "system";
  if (path === "/session") return "session";
  if (path === "/embed") return "embed";
  return undefined;
}

function explicit(facts: UriFacts): HypervisorChoice {
  const kind = uriKind(facts.wanted);
  if (kind === undefined) {
    throw new RumError(
      "config_invalid",
      `Cannot use libvirt_uri "${facts.wanted}": rum drives QEMU, so it wants ${QEMU_DOORS}`,
      { hint: 'Set libvirt_uri = "auto" under [advanced]' },
    );
  }
  const bare = /^qemu:\/\/\/embed\/?$/.test(facts.wanted);
  return {
    uri: bare ? embedUri(facts.embedRoot) : facts.wanted,
    kind,
    reason: "rum.toml names it",
  };
}
