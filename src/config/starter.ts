/**
 * The rum.toml that `rum init` writes: from a handful of answers to a commented file that passes
 * `rum config check` as it stands. The questions are data and the walk through them, back steps
 * included, is a function over an injected prompter, so that the wizard is tested without a terminal.
 */
import { parseSize } from "../base/units.ts";
import { safeName } from "./build.ts";

export interface Answers {
  readonly name: string;
  readonly image: string;
  readonly cpus: number;
  readonly memory: string;
  readonly disk: string;
  readonly mount: "read-write" | "read-only" | "none";
  /** `[host, guest]` */
  readonly ports: readonly (readonly [number, number])[];
  /** Run by sh at the first boot. */
  readonly setup: string;
}

export function defaultAnswers(folderName: string): Answers {
  return {
    name: safeName(folderName),
    image: "debian-12",
    cpus: 2,
    memory: "2G",
    disk: "20G",
    mount: "read-write",
    ports: [],
    setup: "",
  };
}

export type Question =
  | {
    readonly kind: "text";
    readonly message: string;
    readonly initial: string;
    /** A sentence when the text cannot be taken. */
    readonly check: (text: string) => string | undefined;
  }
  | {
    readonly kind: "choice";
    readonly message: string;
    readonly initial: string;
    readonly options: readonly { readonly value: string; readonly label: string }[];
  };

/** What a prompter answers instead of a value: one step back. */
export const BACK = Symbol("back");

export interface Prompter {
  /** @throws when the person gives up (Ctrl+C) */
  ask(question: Question, options: { readonly canGoBack: boolean }): Promise<string | typeof BACK>;
}

interface Step {
  question(answers: Answers): Question;
  take(answers: Answers, value: string): Answers;
}

const IMAGES = ["debian-12", "debian-13", "ubuntu-24.04", "fedora-42"];

const SIZES: readonly Pick<Answers, "cpus" | "memory" | "disk">[] = [
  { cpus: 1, memory: "1G", disk: "10G" },
  { cpus: 2, memory: "2G", disk: "20G" },
  { cpus: 4, memory: "8G", disk: "60G" },
];

const STEPS: readonly Step[] = [
  {
    question: ({ name }) => ({
      kind: "text",
      message: "Name of the machine",
      initial: name,
      check: (text) =>
        /^[a-z0-9][a-z0-9-]{0,62}$/.test(text)
          ? undefined
          : "Letters a-z, digits and -, beginning with a letter or digit",
    }),
    take: (answers, name) => ({ ...answers, name }),
  },
  {
    question: ({ image }) => ({
      kind: "choice",
      message: "Image",
      initial: image,
      options: IMAGES.map((value) => ({ value, label: value })),
    }),
    take: (answers, image) => ({ ...answers, image }),
  },
  {
    question: ({ memory }) => ({
      kind: "choice",
      message: "Size",
      initial: memory,
      options: SIZES.map(({ cpus, memory, disk }) => ({
        value: memory,
        label: `${cpus} CPU${cpus === 1 ? "" : "s"}, ${memory} memory, ${disk} disk`,
      })),
    }),
    take: (answers, value) => ({
      ...answers,
      ...SIZES.find(({ memory }) => parseSize(memory) === parseSize(value)),
    }),
  },
  {
    question: ({ mount }) => ({
      kind: "choice",
      message: "This folder in the guest, at /work",
      initial: mount,
      options: [
        { value: "read-write", label: "yes, the guest may write to it" },
        { value: "read-only", label: "yes, read-only" },
        { value: "none", label: "no" },
      ],
    }),
    take: (answers, mount) => ({ ...answers, mount: mount as Answers["mount"] }),
  },
  {
    question: ({ ports }) => ({
      kind: "text",
      message: "Guest ports on this host: HOST:GUEST, with commas, or nothing",
      initial: portsText(ports),
      check: (text) => {
        const ports = parsePorts(text);
        return typeof ports === "string" ? ports : undefined;
      },
    }),
    take: (answers, text) => {
      const ports = parsePorts(text);
      return typeof ports === "string" ? answers : { ...answers, ports };
    },
  },
  {
    question: ({ setup }) => ({
      kind: "text",
      message: "A command to run in the guest at the first boot; or nothing",
      initial: setup,
      check: (text) =>
        /[\x00-\x1f\x7f]/.test(text) ? "One line, without control characters" : undefined,
    }),
    take: (answers, setup) => ({ ...answers, setup: setup.trim() }),
  },
];

/** Asks every question in turn; BACK asks the one before again, with what was said there. */
export async function askAll(prompter: Prompter, start: Answers): Promise<Answers> {
  let answers = start;
  for (let at = 0; at < STEPS.length;) {
    const value = await prompter.ask(STEPS[at].question(answers), { canGoBack: at > 0 });
    if (value === BACK) at = Math.max(0, at - 1);
    else answers = STEPS[at++].take(answers, value);
  }
  return answers;
}

/** `8080:80, 3000` → pairs, or a sentence. */
export function parsePorts(text: string): readonly (readonly [number, number])[] | string {
  const ports: [number, number][] = [];
  for (const part of text.split(",").map((part) => part.trim()).filter((part) => part !== "")) {
    const match = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(part);
    const host = Number(match?.[1]);
    const guest = Number(match?.[2] ?? match?.[1]);
    if (match === null || host > 65535 || guest > 65535 || guest === 0) {
      return `"${part}" is no port; wanted HOST:GUEST such as 8080:80`;
    }
    if (host !== 0 && ports.some(([other]) => other === host)) {
      return `Host port ${host} is there twice`;
    }
    ports.push([host, guest]);
  }
  return ports;
}

function portsText(ports: Answers["ports"]): string {
  return ports.map(([host, guest]) => `${host}:${guest}`).join(", ");
}

/** The file. JSON's quoting of a string without control characters is TOML's. */
export function starterText(answers: Answers): string {
  const { name, image, cpus, memory, disk } = answers;
  const quoted = (text: string) => JSON.stringify(text);
  const sections = [
    "# One virtual machine. `rum up` makes it, `rum config schema` lists every key.",
    `name = ${quoted(name)}`,
    section(
      "[image]",
      "# A short name (rum image search), an https URL, or a path.",
      `base = ${quoted(image)}`,
    ),
    section(
      "[resources]",
      `cpus = ${cpus}`,
      `memory = ${quoted(memory)}`,
      "# Made larger later, the guest's file system grows with it.",
      `disk = ${quoted(disk)}`,
    ),
    mountSection(answers.mount),
    portSections(answers.ports),
    setupSection(answers.setup),
    section(
      "# A process that is kept running in the guest:",
      "# [services.web]",
      '# command = ["python3", "-m", "http.server", "8000"]',
      '# restart = "always"',
    ),
  ];
  return sections.join("\n\n") + "\n";
}

function section(...lines: string[]): string {
  return lines.join("\n");
}

function mountSection(mount: Answers["mount"]): string {
  const lines = [
    "[[mounts]]",
    'source = "."',
    'target = "/work"',
    "default = true",
    ...(mount === "read-only" ? ["readonly = true"] : []),
  ];
  return mount === "none"
    ? section("# This folder in the guest:", ...lines.map((line) => `# ${line}`))
    : section("# This folder in the guest; shells start there.", ...lines);
}

function portSections(ports: Answers["ports"]): string {
  if (ports.length === 0) {
    return section("# Guest ports on this host:", "# [[ports]]", "# host = 8080", "# guest = 80");
  }
  return ports.map(([host, guest]) =>
    section("[[ports]]", `host = ${host}${host === 0 ? " # a free one" : ""}`, `guest = ${guest}`)
  ).join("\n\n");
}

function setupSection(setup: string): string {
  const about = "# Runs as root, once, at the first boot. [provision.boot] runs at every boot.";
  return setup === ""
    ? section(
      about,
      "# [provision.system]",
      '# script = "apt-get update && apt-get install -y git"',
    )
    : section(about, "[provision.system]", `script = ${JSON.stringify(setup)}`);
}
