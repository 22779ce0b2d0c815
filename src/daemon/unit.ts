/**
 * A systemd user unit that runs a machine's daemon, as text. Pure.
 *
 * `KillMode=process`: with the embedded hypervisor the machine is a child of the daemon, and stopping
 * the unit must not stop the machine.
 */
export interface UnitOptions {
  readonly id: string;
  readonly name: string;
  /** What to run, absolute. */
  readonly command: readonly string[];
  /** Places that the daemon would look for elsewhere without them. */
  readonly env: Readonly<Record<string, string>>;
}

export function unitText({ id, name, command, env }: UnitOptions): string {
  const environment = Object.entries(env).map(([key, value]) =>
    `Environment=${quoted(`${key}=${value}`)}\n`
  );
  return `[Unit]
Description=rum machine ${name.replaceAll("%", "%%")} (${id})

[Service]
Type=notify
NotifyAccess=main
ExecStart=${command.map(quoted).join(" ")}
WorkingDirectory=/
KillMode=process
TimeoutStopSec=45
Restart=on-failure
RestartSec=5
# Another process holds the machine already.
RestartPreventExitStatus=6
${environment.join("")}
[Install]
WantedBy=default.target
`;
}

/** systemd's own quoting: percent and dollar are specifiers, backslash and quote are escapes. */
function quoted(word: string): string {
  const text = word.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("%", "%%")
    .replaceAll("$", "$$$$").replaceAll("\n", "\\n");
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `"${text}"`;
}
