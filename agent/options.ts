/**
 * Where the agent keeps things, from its command line. Every path can be moved, so that the whole
 * program runs on a developer's host, in a temporary folder, over a Unix socket.
 */
import { VERSION } from "../src/base/version.ts";

export interface AgentOptions {
  /** The mounted seed: the first token and the agent's own files. */
  readonly seed: string;
  /** What outlives a reboot. */
  readonly state: string;
  /** What ends with this boot: marks keyed by boot id. */
  readonly run: string;
  /** Root of the files that `apply` writes; `/` but for tests. */
  readonly root: string;
  /** `auto`, `unix:PATH`, `port:PATH` or `vsock:PORT`. */
  readonly link: string;
  /** How long a boot waits for a host before it runs its Boot scripts by itself. */
  readonly hostWaitMs: number;
  /** Told by tests; else the kernel's. */
  readonly bootId?: string;
  /** Power commands are logged and not run. */
  readonly dry: boolean;
}

export const AGENT_USAGE =
  `rum-agent ${VERSION}: the guest side of rum; started by its systemd unit, not by hand.

  --seed DIR          the mounted seed (default /run/rum/seed)
  --state DIR         durable state (default /var/lib/rum)
  --run DIR           state of this boot (default /run/rum)
  --root DIR          prefix of the files that are managed (default /)
  --link LINK         auto, unix:PATH, port:PATH or vsock:PORT (default auto)
  --host-wait MS      wait for a host before running Boot scripts (default 10000)
  --boot-id ID        instead of the kernel's
  --dry               never power off or reboot
  --version           print the version
`;

/** @throws {Error} for an option that does not exist or lacks its value */
export function parseAgentOptions(args: readonly string[]): AgentOptions {
  const values = new Map<string, string>();
  let dry = false;
  for (let i = 0; i < args.length; i++) {
    const [name, inline] = splitOnce(args[i], "=");
    if (name === "--dry") {
      dry = true;
      continue;
    }
    if (
      !["--seed", "--state", "--run", "--root", "--link", "--host-wait", "--boot-id"]
        .includes(name)
    ) {
      throw new Error(`Unknown option "${args[i]}"`);
    }
    const value = inline ?? args[++i];
    if (value === undefined) throw new Error(`Option "${name}" lacks its value`);
    values.set(name, value);
  }
  const hostWaitMs = Number(values.get("--host-wait") ?? "10000");
  if (!Number.isSafeInteger(hostWaitMs) || hostWaitMs < 0) {
    throw new Error(
      `Option "--host-wait" wants milliseconds, found "${values.get("--host-wait")}"`,
    );
  }
  return {
    seed: values.get("--seed") ?? "/run/rum/seed",
    state: values.get("--state") ?? "/var/lib/rum",
    run: values.get("--run") ?? "/run/rum",
    root: (values.get("--root") ?? "").replace(/\/+$/, ""),
    link: values.get("--link") ?? "auto",
    hostWaitMs,
    bootId: values.get("--boot-id"),
    dry,
  };
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
