/** Rows of the command tree that reach into the guest. See `tree.ts`. */
import type { VerbSpec } from "./verb.ts";

const FOLLOW = { flags: "-f, --follow", summary: "go on as more arrives" } as const;

export const GUEST_VERBS: readonly VerbSpec[] = [
  {
    name: "shell",
    summary: "a login shell in the machine",
    options: [
      { flags: "-u, --user <name>", summary: "as this user (default: user.name)" },
      { flags: "-w, --workdir <dir>", summary: "start in this folder of the guest" },
    ],
    load: () => import("./shell.ts"),
  },
  {
    name: "exec",
    summary: "run a command in the machine",
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
      { flags: "--failed", summary: "the log of the script that failed last" },
      { flags: "--list", summary: "which logs there are" },
    ],
    load: () => import("./log.ts"),
  },
  {
    name: "wait",
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
    name: "proxy",
    summary: "stdin and stdout to a TCP port of the guest",
    operands: "<host-or-port> [port]",
    load: () => import("./proxy.ts"),
  },
];
