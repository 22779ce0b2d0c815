/** Rows of the command tree about the host, the project and rum itself. See `tree.ts`. */
import type { VerbSpec } from "./verb.ts";

export const HOST_VERBS: readonly VerbSpec[] = [
  {
    name: "events",
    summary: "the machine's numbered events",
    options: [
      { flags: "-f, --follow", summary: "go on as more arrive" },
      { flags: "--since <n>", summary: "only those after this number" },
    ],
    load: () => import("./events.ts"),
  },
  {
    name: "image",
    summary: "base images: list, search, pull, build, verify, remove",
    verbs: [
      {
        name: "ls",
        aliases: ["list"],
        summary: "images in the cache",
        load: () => import("./image.ts"),
      },
      {
        name: "search",
        summary: "short names that rum knows",
        operands: "[text]",
        load: () => import("./image.ts"),
      },
      {
        name: "pull",
        summary: "fetch an image now",
        operands: "[image]",
        load: () => import("./image.ts"),
      },
      {
        name: "build",
        summary: "make an image from the distribution's own packages",
        operands: "<name>",
        operandCompletes: ["debian-12", "debian-13"],
        options: [{ flags: "--mirror <url>", summary: "the package mirror (default: the host's)" }],
        load: () => import("./image.ts"),
      },
      {
        name: "verify",
        summary: "hash cached images again",
        operands: "[image]",
        load: () => import("./image.ts"),
      },
      {
        name: "rm",
        aliases: ["remove"],
        summary: "remove an image that no machine stands on",
        operands: "<image>",
        load: () => import("./image.ts"),
      },
      {
        name: "prune",
        summary: "remove every image that no machine stands on",
        load: () => import("./image.ts"),
      },
    ],
  },
  {
    name: "init",
    summary: "write a rum.toml",
    options: [{ flags: "--defaults", summary: "ask nothing" }],
    load: () => import("./init.ts"),
  },
  {
    name: "trust",
    summary: "approve the keys of this rum.toml that reach the host",
    options: [
      { flags: "--show", summary: "only show them" },
      { flags: "-y, --yes", summary: "do not ask", excludes: ["show"] },
      {
        flags: "--revoke",
        summary: "take the approval of this rum.toml back",
        excludes: ["show", "yes"],
      },
    ],
    load: () => import("./trust.ts"),
  },
  {
    name: "adopt",
    summary: "bind a machine whose project folder moved to this rum.toml",
    operands: "<id>",
    operandCompletes: "machines",
    load: () => import("./adopt.ts"),
  },
  {
    name: "doctor",
    summary: "what this host has, lacks, and how to mend it",
    options: [
      { flags: "--fix", summary: "install and start what can be" },
      { flags: "-y, --yes", summary: "do not ask" },
    ],
    load: () => import("./doctor.ts"),
  },
  {
    name: "daemon",
    summary: "the machine's background process",
    verbs: [
      { name: "status", summary: "is it there", load: () => import("./daemon.ts") },
      {
        name: "stop",
        summary: "end it; the machine runs on",
        load: () => import("./daemon.ts"),
      },
      { name: "restart", summary: "end it and start a new one", load: () => import("./daemon.ts") },
      {
        name: "logs",
        summary: "its log",
        options: [
          { flags: "-f, --follow", summary: "go on as more arrives" },
          { flags: "-n, --lines <n>", summary: "only the last lines (default: 100; 0 = all)" },
        ],
        load: () => import("./daemon.ts"),
      },
      {
        name: "unit",
        summary: "print a systemd user unit for it",
        load: () => import("./daemon.ts"),
      },
    ],
  },
  {
    name: "config",
    summary: "check, show, describe the configuration",
    verbs: [
      { name: "check", summary: "every mistake in rum.toml", load: () => import("./config.ts") },
      { name: "show", summary: "the effective configuration", load: () => import("./config.ts") },
      { name: "schema", summary: "JSON Schema of rum.toml", load: () => import("./config.ts") },
    ],
  },
  {
    name: "dump-iso",
    summary: "what is on the machine's seed",
    operands: "[file]",
    operandCompletes: "files",
    load: () => import("./dump_iso.ts"),
  },
  {
    name: "skill",
    summary: "the manual for coding agents",
    options: [{ flags: "--install", summary: "write it to ~/.claude/skills/rum/SKILL.md" }],
    load: () => import("./skill.ts"),
  },
  {
    name: "completions",
    summary: "shell completions",
    operands: "<shell>",
    operandCompletes: ["bash", "zsh", "fish"],
    load: () => import("./completions.ts"),
  },
  {
    name: "complete",
    summary: "what could come next (called by the completions)",
    operands: "[words...]",
    passThrough: true,
    hidden: true,
    load: () => import("./complete.ts"),
  },
  { name: "version", summary: "version, commit and form", load: () => import("./version.ts") },
];
