/**
 * The direction of dependencies, asserted over the real module graph. Each row says what a room may
 * import; everything else is a forbidden edge, and the test fails with the edge and the reason.
 */
import assert from "node:assert/strict";
import { AGENT_SOURCES } from "../src/guest/agent_payload.ts";

const ROOT = new URL("../", import.meta.url).pathname;

const PURE = [
  "src/config",
  "src/plan",
  "src/xml",
  "src/cloudinit",
  "src/image",
  "src/services",
  "src/sync",
];
const ADAPTERS = ["src/libvirt", "src/store", "src/guest"];

/** Room → rooms it may import, besides itself. */
export const MAY_IMPORT: Readonly<Record<string, { rooms: readonly string[]; why: string }>> = {
  "ffi": { rooms: [], why: "raw C is data for its one caller and knows nothing of rum" },
  "src/base": { rooms: [], why: "leaves: anything may stand on them, so they stand on nothing" },
  "src/protocol": {
    rooms: ["src/base"],
    why: "host, guest and client share it, so it drags nothing with it",
  },
  "src/wire": { rooms: ["src/base", "src/protocol"], why: "bytes and frames know no machine" },
  ...Object.fromEntries(
    PURE.map((room) => [room, {
      rooms: ["src/base", "src/protocol", ...PURE],
      why: "pure values: no socket, no libvirt, no file",
    }]),
  ),
  "src/machine": {
    rooms: ["src/base", "src/protocol", ...PURE],
    why: "the state machine sees the world through its ports only",
  },
  "src/libvirt": {
    rooms: ["src/base", "src/protocol", "src/wire", ...PURE, "src/machine", "src/store", "ffi"],
    why: "the only importer of libvirt's symbols",
  },
  "src/store": {
    rooms: ["src/base", "src/protocol", ...PURE, "src/machine", "ffi"],
    why: "files on the host; no hypervisor, no guest",
  },
  "src/guest": {
    rooms: ["src/base", "src/protocol", "src/wire", ...PURE, "src/machine", "src/store", "ffi"],
    why: "talks to the agent over any byte stream; libvirt hands it one",
  },
  "src/daemon": {
    rooms: [
      "src/base",
      "src/protocol",
      "src/wire",
      ...PURE,
      "src/machine",
      ...ADAPTERS,
      "ffi",
    ],
    why: "composes the adapters; nothing of the command line",
  },
  "src/ui": {
    rooms: ["src/base", "src/protocol", ...PURE, "src/machine"],
    why: "observers of events; they cannot act",
  },
  "src/cli": {
    rooms: [
      "src/base",
      "src/protocol",
      "src/wire",
      ...PURE,
      "src/machine",
      ...ADAPTERS,
      "src/daemon",
      "src/ui",
      "src/build",
      "ffi",
    ],
    why: "one file per verb, above everything",
  },
  "src/build": {
    rooms: ["src/base", "src/protocol", "src/config", "src/cli", "src/plan", "src/guest"],
    why: "makes dist/",
  },
  "agent": {
    rooms: ["src/base", "src/protocol", "src/wire", "src/services", "ffi"],
    why: "the guest program must stay small and must not carry the host's code",
  },
  "main.ts": { rooms: ["src/cli"], why: "argv → run → exit code" },
};

/** Single files that only some rooms may import, each with its reason. */
const ONLY: readonly { file: RegExp; from: RegExp; why: string }[] = [
  {
    file: /^ffi\/(?!libc\.ts|folders\.ts|tcp_sockets\.ts)/,
    from: /^(src\/libvirt|ffi)\//,
    why:
      "libvirt's symbols belong to src/libvirt alone; libc.ts, folders.ts and tcp_sockets.ts are shared",
  },
  {
    file: /^src\/daemon\/compose\.ts$/,
    from: /^src\/(daemon|cli)\//,
    why: "the one place that builds adapters",
  },
];

interface Edge {
  readonly from: string;
  readonly to: string;
}

async function moduleGraph(): Promise<Edge[]> {
  const sources: string[] = [];
  for (const room of ["main.ts", "src", "agent", "ffi"]) await collect(room, sources);
  const edges: Edge[] = [];
  const seen = new Set<string>();
  // A handful of roots reaches everything; asking for all in one call keeps it to one process.
  const probe = await Deno.makeTempFile({ dir: ROOT, prefix: ".layers-", suffix: ".ts" });
  try {
    await Deno.writeTextFile(probe, sources.map((s) => `import "./${s}";`).join("\n"));
    const { stdout, success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["info", "--json", probe],
      cwd: ROOT,
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const info = JSON.parse(new TextDecoder().decode(stdout));
    for (const module of info.modules) {
      const from = relative(module.specifier);
      if (from === undefined || !sources.includes(from)) continue;
      for (const dependency of module.dependencies ?? []) {
        const target = dependency.code?.specifier ?? dependency.type?.specifier;
        const to = target === undefined ? undefined : relative(target);
        if (to === undefined || seen.has(`${from} ${to}`)) continue;
        seen.add(`${from} ${to}`);
        edges.push({ from, to });
      }
    }
  } finally {
    await Deno.remove(probe);
  }
  return edges;
}

async function collect(path: string, into: string[]): Promise<void> {
  if (path.endsWith(".ts")) {
    into.push(path);
    return;
  }
  for await (const entry of Deno.readDir(ROOT + path)) {
    const child = `${path}/${entry.name}`;
    if (entry.isDirectory || entry.name.endsWith(".ts")) await collect(child, into);
  }
}

function relative(specifier: string): string | undefined {
  const prefix = `file://${ROOT}`;
  return specifier.startsWith(prefix) ? specifier.slice(prefix.length) : undefined;
}

export function roomOf(file: string): string {
  if (!file.includes("/")) return file;
  const [top, second] = file.split("/");
  return top === "src" ? `src/${second}` : top;
}

export function forbidden({ from, to }: Edge): string | undefined {
  const here = roomOf(from);
  const there = roomOf(to);
  const rule = MAY_IMPORT[here];
  if (rule === undefined) return `${from}: the room ${here} is not in the house`;
  if (here !== there && !rule.rooms.includes(there)) {
    return `${from} imports ${to}: ${here} may not, because ${rule.why}`;
  }
  for (const only of ONLY) {
    if (only.file.test(to) && !only.from.test(from)) {
      return `${from} imports ${to}: ${only.why}`;
    }
  }
  return undefined;
}

Deno.test("layers: no module imports against the direction of the house", async () => {
  const edges = await moduleGraph();
  assert.ok(edges.length > 50, `the module graph has only ${edges.length} edges`);
  const broken = edges.map(forbidden).filter((reason) => reason !== undefined);
  assert.deepEqual(broken, []);
});

Deno.test("layers: the agent's digest covers every module that the agent is bundled from", async () => {
  const edges = await moduleGraph();
  const modules = new Set(["agent/main.ts"]);
  // A set is walked with what is added meanwhile.
  for (const module of modules) {
    for (const { from, to } of edges) if (from === module) modules.add(to);
  }
  assert.ok(modules.size > 50, `the agent has only ${modules.size} modules`);
  const { rooms, files } = AGENT_SOURCES;
  const covered = (module: string) =>
    files.some((file) => file === module) || rooms.some((room) => module.startsWith(`${room}/`));
  assert.deepEqual([...modules].filter((module) => !covered(module)), []);
});

Deno.test("layers: a forbidden edge is named with its reason", () => {
  assert.match(
    forbidden({ from: "src/base/errors.ts", to: "src/wire/frames.ts" }) ?? "",
    /src\/base may not, because leaves/,
  );
  assert.match(
    forbidden({ from: "agent/main.ts", to: "src/store/atomic.ts" }) ?? "",
    /agent may not/,
  );
  assert.match(
    forbidden({ from: "src/guest/exec.ts", to: "ffi/symbols.ts" }) ?? "",
    /libvirt's symbols/,
  );
  assert.equal(forbidden({ from: "src/libvirt/worker.ts", to: "ffi/symbols.ts" }), undefined);
});

Deno.test('layers: libvirt\'s word "domain" stays in src/libvirt, src/xml and ffi', async () => {
  const files: string[] = [];
  for (const room of ["main.ts", "src", "agent"]) await collect(room, files);
  const broken: string[] = [];
  for (const file of files) {
    if (/^src\/(libvirt|xml|build)\//.test(file)) continue;
    const lines = (await Deno.readTextFile(ROOT + file)).split("\n");
    lines.forEach((line, i) => {
      // domain_type / domainType is a key of rum.toml; prose in comments may explain the word.
      const code = line.replace(/\/\/.*$|^\s*\*.*$|\/\*.*\*\//g, "");
      if (
        /\bdomains?\b|Domain(?!Type)/.test(
          code.replace(
            /domain_type|domainType|DomainType|xml\/domain|domainXml|domain\.xml|domainSpec|DomainSpec/g,
            "",
          ),
        )
      ) broken.push(`${file}:${i + 1}: ${line.trim()}`);
    });
  }
  assert.deepEqual(broken, []);
});

Deno.test("layers: what is loaded at a start does not import a part of Node; a call loads it", async () => {
  const files: string[] = [];
  for (const room of ["main.ts", "src", "agent", "ffi"]) await collect(room, files);
  const broken: string[] = [];
  for (const file of files) {
    // Verbs are loaded by whoever calls them.
    if (/^src\/(cli|build)\//.test(file)) continue;
    for (const line of (await Deno.readTextFile(ROOT + file)).split("\n")) {
      if (/^(import (?!type)|\} from ).*"node:/.test(line)) broken.push(`${file}: ${line}`);
    }
  }
  assert.deepEqual(broken, []);
});
