/**
 * What OpenSSH has to know of a machine, as text: pure, so that every quoting rule is tested. Nothing
 * in it is an address: ssh reaches the guest through `rum proxy`, and trusts the host key that the
 * agent's own link told.
 */
import { RumError } from "../base/errors.ts";
import { shellWord as quoted } from "../base/shell_word.ts";

export interface SshMachine {
  readonly id: string;
  readonly name: string;
  readonly user: string;
  readonly identity: string;
  readonly knownHosts: string;
  readonly hostKeyAlias: string;
  /** How rum itself is run, before `proxy`: argv, with what it needs of the environment. */
  readonly self: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** The name to type: `ssh rum-NAME`. */
export function sshHost(name: string): string {
  return `rum-${name}`;
}

/** @throws {RumError} `not_supported` when a path cannot be written in an ssh configuration */
export function sshBlock(machine: SshMachine): string {
  const host = sshHost(machine.name);
  const lines = [
    `Host ${host}`,
    `  HostName ${host}`,
    `  User ${machine.user}`,
    `  IdentityFile ${configPath(machine.identity)}`,
    "  IdentitiesOnly yes",
    `  UserKnownHostsFile ${configPath(machine.knownHosts)}`,
    "  GlobalKnownHostsFile /dev/null",
    `  HostKeyAlias ${machine.hostKeyAlias}`,
    "  StrictHostKeyChecking yes",
    "  CheckHostIP no",
    `  ProxyCommand ${proxyCommand(machine)}`,
  ];
  return lines.join("\n") + "\n";
}

/** The block alone, then what the user has anyway: their flags win over both. */
export function sshClientConfig(machine: SshMachine): string {
  return `${
    sshBlock(machine)
  }\nMatch all\n  Include ~/.ssh/config\n  Include /etc/ssh/ssh_config\n`;
}

/** ssh hands it to a shell with `exec` before it, after replacing %h, %p and %%. */
export function proxyCommand({ id, self, env }: SshMachine): string {
  const assigned = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const words = [...(assigned.length === 0 ? [] : ["env", ...assigned]), ...self, "-m", id];
  return [...words.map((word) => shellWord(word).replaceAll("%", "%%")), "proxy", "%h", "%p"]
    .join(" ");
}

export function shellWord(word: string): string {
  oneLine(word);
  return quoted(word);
}

/** In double quotes, where ssh takes a backslash before a quote or a backslash, and % doubled. */
export function configPath(path: string): string {
  oneLine(path);
  // ssh replaces ${NAME} and offers no way to write it otherwise.
  if (path.includes("${")) throw unwritable(path);
  return `"${path.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%")}"`;
}

function oneLine(text: string): void {
  if (/[\n\r\0]/.test(text)) throw unwritable(text);
}

function unwritable(path: string): RumError {
  return new RumError(
    "not_supported",
    `Cannot write ${JSON.stringify(path)} in an ssh configuration: its syntax has no way to`,
  );
}
