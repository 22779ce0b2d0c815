/** Rows of the command tree that reach into the guest. See `tree.ts`. */
import type { VerbSpec } from "./verb.ts";

const FOLLOW = { flags: "-f, --follow", summary: "go on as more arrives" } as const;

export const GUEST_VERBS: readonly VerbSpec[] = [
  {
    name: "shell",
    keepsTime: true,
    summary: "a login shell in the machine",
    guestExit: true,
    options: [
      { flags: "-u, --user <name>", summary: "as this user (default: user.name)" },
      { flags: "-w, --workdir <dir>", summary: "start in this folder of the guest" },
    ],
    load: () => import("./shell.ts"),
  },
  {
    name: "exec",
    keepsTime: true,
    summary: "run a command in the machine",
    guestExit: true,
    operands: "<argv...>",
    passThrough: true,
    details:
      `Bytes in and out are exact, stdout and stderr separate, and the command's exit code is rum's.
Several words are run as they are; a single word with a space or shell character runs with sh -c.
  rum exec -- uname -a
  rum exec 'cd /srv && ls | wc -l'
  echo hello | rum exec -i -- tee /tmp/hello`,
    options: [
      { flags: "-t, --tty", summary: "give it a terminal" },
      {
        flags: "-i, --interactive",
        summary: "keep stdin connected (the default when stdin is not a terminal)",
      },
      { flags: "-u, --user <name>", summary: "as this user (default: root)" },
      { flags: "-w, --workdir <dir>", summary: "in this folder of the guest" },
      {
        flags: "-e, --env <pair>",
        summary: "NAME=value, or NAME to pass yours on",
        repeatable: true,
      },
      { flags: "--env-file <file>", summary: "NAME=value lines", completes: "files" },
      { flags: "--timeout <duration>", summary: "kill it after this long, exit 124" },
    ],
    load: () => import("./exec.ts"),
  },
  {
    name: "provision",
    keepsTime: true,
    tellsEvents: true,
    summary: "run the provisioning scripts again on the running machine",
    options: [
      { flags: "--system", summary: "only the first-boot scripts" },
      { flags: "--boot", summary: "only the every-boot scripts" },
    ],
    load: () => import("./provision.ts"),
  },
  {
    name: "log",
    aliases: ["logs"],
    summary: "script, console, daemon and service logs",
    options: [
      FOLLOW,
      { flags: "-n, --lines <n>", summary: "only the last lines (default: 100; 0 = all)" },
      { flags: "--since <duration>", summary: "only what is younger" },
      {
        flags: "--source <what>",
        summary: "a script's name, boot, daemon, agent or service:NAME",
        completes: ["boot", "daemon", "agent"],
      },
      {
        flags: "--failed",
        summary: "the log of the script that failed last",
        excludes: ["source"],
      },
      { flags: "--list", summary: "which logs there are", excludes: ["source", "failed"] },
    ],
    load: () => import("./log.ts"),
  },
  {
    name: "console",
    summary: "the serial console; Ctrl+] leaves it",
    details: `Works when nothing else in the guest does: kernel messages, a login, a rescue shell.
Without a terminal it passes bytes both ways until Ctrl+C or the machine's end.`,
    load: () => import("./console.ts"),
  },
  {
    name: "wait",
    keepsTime: true,
    summary: "wait until the machine is as you need it",
    options: [
      {
        flags: "--for <what>",
        summary: "agent, ready, port:N, service:NAME or exec:CMD",
        completes: ["agent", "ready", "port:", "service:", "exec:"],
      },
      { flags: "--timeout <duration>", summary: "give up after this long (default: 2m)" },
    ],
    load: () => import("./wait.ts"),
  },
  {
    name: "ssh",
    summary: "OpenSSH into the machine",
    guestExit: true,
    operands: "[args...]",
    passThrough: true,
    foreignOptions: true,
    details: `The arguments are ssh's own, without the host: options, then a command.
  rum ssh
  rum ssh -L 8080:localhost:80 -N
  rum ssh -A git -C /srv/app pull
No address, route or DHCP in the guest is needed. Without an ssh program on this host, rum's own
client serves commands and shells.`,
    load: () => import("./ssh.ts"),
  },
  {
    name: "ssh-config",
    summary: "what ssh, scp, rsync, git and VS Code need to know of the machine",
    details:
      `Prints the Host block. With --install, ~/.ssh/config includes it from the machine's own
folder until --remove or rum destroy; then "ssh rum-NAME" works everywhere.`,
    options: [
      { flags: "--install", summary: "make ssh rum-NAME work for every program" },
      { flags: "--remove", summary: "take that away again" },
    ],
    load: () => import("./ssh_config.ts"),
  },
  {
    name: "proxy",
    summary: "stdin and stdout to a TCP port of the guest",
    operands: "<host-or-port> [port]",
    details: `For ssh's ProxyCommand: rum proxy %h %p, where the host is rum-NAME.`,
    load: () => import("./proxy.ts"),
  },
  {
    name: "cp",
    summary: "copy files and folders into and out of the machine",
    operands: "<src> <dst>",
    operandCompletes: "files",
    details:
      `One side begins with a colon: that one is in the guest. A relative path there begins at
the home of user.name. A folder as target means inside it. - is stdin or stdout.
  rum cp app.conf :/etc/app.conf
  rum cp -r :/var/log/app ./logs
  tar c . | rum cp - :/tmp/all.tar`,
    options: [
      { flags: "-r, --recursive", summary: "folders with everything in them" },
      {
        flags: "--owner <name>",
        summary:
          "whose it is in the guest (default: what is there keeps its own; new: user.name in its home, else root)",
      },
    ],
    load: () => import("./cp.ts"),
  },
  {
    name: "port",
    summary: "forwards from this host to the running machine",
    verbs: [
      {
        name: "ls",
        aliases: ["list"],
        summary: "what is forwarded",
        load: () => import("./port.ts"),
      },
      {
        name: "add",
        summary: "forward a port until the machine goes off",
        operands: "<forward>",
        details: `[BIND:][HOST:]GUEST[/udp]. Host port 0 picks a free one.
  rum port add 8080:80
  rum port add 0.0.0.0:8080:80
  rum port add 5353:53/udp`,
        load: () => import("./port.ts"),
      },
      {
        name: "rm",
        aliases: ["remove"],
        summary: "end a forward",
        operands: "<host-port>",
        operandCompletes: "ports",
        load: () => import("./port.ts"),
      },
    ],
  },
];
