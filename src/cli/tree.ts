/**
 * The command tree as data: every verb of SPEC section 2, its options, and how to load its module.
 *
 * Help, parser, completions, man page and the list in the README come from these rows, so a verb
 * that is not here does not exist anywhere, and an option that is here is read by its module.
 * Importing this file loads no verb.
 */
import type { OptionSpec, VerbSpec } from "./verb.ts";
import { GUEST_VERBS } from "./tree_guest.ts";
import { HOST_VERBS } from "./tree_host.ts";
import { MACHINE_VERBS } from "./tree_machine.ts";

export const GLOBAL_OPTIONS: readonly OptionSpec[] = [
  {
    flags: "-c, --config <file>",
    summary: "the rum.toml to use (default: the nearest one upward)",
    completes: "files",
  },
  {
    flags: "-m, --machine <name|id>",
    summary: "any machine of yours, from any folder",
    completes: "machines",
  },
  {
    flags: "-o, --output <mode>",
    summary: "auto, interactive, plain or json",
    completes: ["auto", "interactive", "plain", "json"],
  },
  { flags: "-v, --verbose", summary: "causes and details" },
  { flags: "-q, --quiet", summary: "no progress and no notes: results, warnings, errors" },
  { flags: "--no-input", summary: "never ask; a question becomes an error" },
  {
    flags: "--timeout <duration>",
    summary: "give up after this long (exit 124); stops and wipes nothing",
  },
];

/** Known everywhere, in help always last. */
export const HELP_OPTION: OptionSpec = { flags: "-h, --help", summary: "this text" };

/** Instead of a command. */
export const VERSION_OPTION: OptionSpec = {
  flags: "-V, --version",
  summary: "version, commit and form",
};

/** In the help of verbs that take a while. */
export const TELLS_EVENTS =
  "With -o json the last line is the document; before it come the machine's events, one a line.";

const LIFE_VERBS: readonly VerbSpec[] = [
  {
    name: "up",
    keepsTime: true,
    tellsEvents: true,
    summary: "create or start the machine, provision it, follow it",
    details: `Creates what is missing, starts the machine, runs the provisioning scripts and waits
until it is ready. On a terminal it then stays, showing logs, until Ctrl+C (the first boot: the
half-made machine is removed; later: the machine is shut down). With -d, or without a terminal on
stdin, it returns once the machine is ready and the machine stays up.`,
    options: [
      { flags: "-d, --detach", summary: "return when the machine is ready" },
      {
        flags: "--attach",
        summary: "stay, also without a terminal; take over a running machine",
        excludes: ["detach"],
      },
      {
        flags: "--reset [what]",
        summary: "a new disk from the base; keeps [drives] unless --reset=all",
        completes: ["all"],
      },
      { flags: "-y, --yes", summary: "do not ask before --reset" },
      { flags: "--dry-run", summary: "print the plan and do nothing" },
      { flags: "--serve <id>", summary: "be the background process of a machine", hidden: true },
    ],
    load: () => import("./up.ts"),
  },
  {
    name: "down",
    keepsTime: true,
    tellsEvents: true,
    summary: "shut the machine down; deletes nothing",
    options: [
      { flags: "-f, --force", summary: "power off at once" },
      {
        flags: "--timeout <duration>",
        summary: "force after this long (default: advanced.shutdown_timeout, 60s)",
      },
    ],
    load: () => import("./down.ts"),
  },
  {
    name: "restart",
    keepsTime: true,
    tellsEvents: true,
    summary: "shut down and start again",
    load: () => import("./restart.ts"),
  },
  {
    name: "pause",
    keepsTime: true,
    tellsEvents: true,
    summary: "stop the machine's clock",
    load: () => import("./pause.ts"),
  },
  {
    name: "resume",
    keepsTime: true,
    tellsEvents: true,
    summary: "let a paused machine go on",
    load: () => import("./pause.ts"),
  },
  {
    name: "destroy",
    keepsTime: true,
    tellsEvents: true,
    summary: "power off and delete the machine with its disks",
    options: [{ flags: "-y, --yes", summary: "do not ask" }],
    load: () => import("./destroy.ts"),
  },
  {
    name: "status",
    summary: "what the machine is doing, and whether all is well",
    options: [{ flags: "--watch", summary: "go on, a line at each change" }],
    load: () => import("./status.ts"),
  },
  {
    name: "list",
    aliases: ["ls"],
    summary: "every machine of yours",
    load: () => import("./list.ts"),
  },
];

/** In the order and under the headings of `rum --help`. */
export const TREE_GROUPS: readonly {
  readonly title: string;
  readonly verbs: readonly VerbSpec[];
}[] = [
  { title: "The machine", verbs: LIFE_VERBS },
  { title: "In the machine", verbs: GUEST_VERBS },
  { title: "Services, keyboard, screen, monitor", verbs: MACHINE_VERBS },
  { title: "The host and rum itself", verbs: HOST_VERBS },
];

export const TREE: readonly VerbSpec[] = TREE_GROUPS.flatMap(({ verbs }) => verbs);

/** Every verb with its path, hidden ones included, parents before children. */
export function* allVerbs(
  tree: readonly VerbSpec[] = TREE,
  path: readonly string[] = [],
): Generator<{ path: readonly string[]; spec: VerbSpec }> {
  for (const spec of tree) {
    const here = [...path, spec.name];
    yield { path: here, spec };
    if (spec.verbs !== undefined) yield* allVerbs(spec.verbs, here);
  }
}
