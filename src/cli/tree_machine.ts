/** Rows of the command tree about services in the guest and the machine at its hypervisor. See `tree.ts`. */
import type { VerbSpec } from "./verb.ts";

const SERVICE = { operands: "<name>", operandCompletes: "services", keepsTime: true } as const;
const service = () => import("./service.ts");

export const MACHINE_VERBS: readonly VerbSpec[] = [
  {
    name: "service",
    summary: "supervised processes in the machine ([services.NAME])",
    verbs: [
      {
        name: "ls",
        aliases: ["list"],
        summary: "every instance and its state",
        load: service,
      },
      {
        name: "status",
        summary: "one service: how it is defined, and its instances",
        ...SERVICE,
        keepsTime: false,
        load: service,
      },
      {
        name: "start",
        summary: "start it; refused when an instance runs",
        details: "NAME is a service of rum.toml, or all (in the order of `after`).",
        ...SERVICE,
        load: service,
      },
      {
        name: "stop",
        summary: "stop it, and keep it stopped until started",
        ...SERVICE,
        load: service,
      },
      { name: "restart", summary: "stop and start it, running or not", ...SERVICE, load: service },
      {
        name: "reload",
        summary: "restart its instances one after the other, each once the one before runs",
        ...SERVICE,
        load: service,
      },
      {
        name: "logs",
        summary: "what its instances wrote",
        ...SERVICE,
        keepsTime: false,
        options: [
          { flags: "-f, --follow", summary: "go on as more arrives" },
          { flags: "-n, --lines <n>", summary: "only the last lines (default: 100; 0 = none)" },
        ],
        load: service,
      },
    ],
  },
  {
    name: "qmp",
    keepsTime: true,
    summary: "a command to QEMU's monitor",
    operands: "<command> [json]",
    details:
      `Queries run freely; anything else needs --unsafe, because it may change the machine behind rum's
back, and libvirt marks the machine as tainted.
  rum qmp query-status
  rum qmp query-block
  rum qmp --unsafe system_wakeup
  rum qmp --unsafe blockdev-snapshot-internal-sync '{"device":"d","name":"n"}'`,
    options: [{ flags: "--unsafe", summary: "commands that are no query, too" }],
    load: () => import("./qmp.ts"),
  },
  {
    name: "keys",
    keepsTime: true,
    summary: "press keys on the machine's keyboard",
    operands: "<keys...>",
    details: `Each word is pressed and released; keys joined by + go down together.
  rum keys ctrl+alt+f2
  rum keys esc : w q enter`,
    load: () => import("./keys.ts"),
  },
  {
    name: "type",
    keepsTime: true,
    summary: "type text on the machine's keyboard (US layout)",
    operands: "<text...>",
    options: [{ flags: "--enter", summary: "press enter at the end" }],
    load: () => import("./type.ts"),
  },
  {
    name: "screenshot",
    summary: "the machine's screen as PNG",
    details:
      `Without -o the file is NAME-TIME.png in this folder; -o - writes to stdout. With --every it goes on
until Ctrl+C, a file each time; [tasks.screenshot] in rum.toml does that unattended.`,
    options: [
      { flags: "-o, --file <file>", summary: "where to; - is stdout", completes: "files" },
      { flags: "--every <duration>", summary: "go on, one picture each time" },
      { flags: "--keep <n>", summary: "with --every: keep the last n (default: all)" },
    ],
    load: () => import("./screenshot.ts"),
  },
  {
    name: "stats",
    summary: "CPU, memory, disk and network counters",
    options: [
      { flags: "--watch", summary: "go on, a line a second" },
      {
        flags: "--history",
        summary: "the last hour, as a small chart on a terminal",
        excludes: ["watch"],
      },
    ],
    load: () => import("./stats.ts"),
  },
];
