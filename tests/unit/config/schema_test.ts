/** The published JSON Schema is the validator's, and the example is a good file. */
import assert from "node:assert/strict";
import { parse } from "smol-toml";
import { rumJsonSchema, schemaText } from "../../../src/config/json_schema.ts";
import { checkFile } from "../../../src/config/load.ts";
import { starterText } from "../../../src/config/starter.ts";
import { askAll, BACK, defaultAnswers, parsePorts } from "../../../src/config/starter.ts";
import { good } from "./fake_reader.ts";

const DOCS = new URL("../../../docs/", import.meta.url);

Deno.test("docs/rum.schema.json is what `rum config schema` prints", async () => {
  const committed = await Deno.readTextFile(new URL("rum.schema.json", DOCS));
  assert.equal(committed, schemaText(), "rum config schema > docs/rum.schema.json");
});

type Node = { [key: string]: unknown };

function* nodes(node: Node, path: string): Generator<[string, Node]> {
  yield [path, node];
  const properties = (node.properties ?? {}) as Record<string, Node>;
  for (const [key, child] of Object.entries(properties)) yield* nodes(child, `${path}.${key}`);
  for (const key of ["items", "additionalProperties"]) {
    const child = node[key];
    if (typeof child === "object") yield* nodes(child as Node, `${path}.*`);
  }
  for (const child of (node.anyOf ?? []) as Node[]) yield* nodes(child, path);
}

Deno.test("every key has a description and every pattern is one that editors can read", () => {
  for (const [path, node] of nodes(rumJsonSchema() as Node, "")) {
    if (typeof node.pattern === "string") new RegExp(node.pattern, "u");
    for (const [key, child] of Object.entries((node.properties ?? {}) as Record<string, Node>)) {
      assert.equal(typeof child.description, "string", `${path}.${key}`);
    }
    if (node.properties !== undefined) assert.equal(node.additionalProperties, false, path);
  }
});

Deno.test("the example passes, reaches nothing on the host, and shows every table", async () => {
  const path = new URL("examples/rum.toml", DOCS).pathname;
  const result = await checkFile(path, { home: "/nowhere" });
  assert.equal(result.kind, "ok", JSON.stringify(result));
  assert.deepEqual(result.kind === "ok" && result.hostKeys, []);
  const shown = Object.keys(parse(await Deno.readTextFile(path)));
  const known = Object.keys(rumJsonSchema().properties as object);
  // A hook and another ssh would ask for approval; what the example shows must just run.
  assert.deepEqual(known.filter((key) => !shown.includes(key)).sort(), ["on", "ssh"]);
});

Deno.test("what init writes is good, whatever was answered", async () => {
  const start = defaultAnswers("My Project (2)");
  assert.equal(start.name, "my-project-2");
  for (const mount of ["read-write", "read-only", "none"] as const) {
    for (const ports of [[], [[8080, 80], [0, 3000]]] as const) {
      for (const setup of ["", `echo "a\\b" 'c' $d # \u00e9`]) {
        const { config } = await good(starterText({ ...start, mount, ports, setup }));
        assert.equal(config.name, "my-project-2");
        assert.equal(config.mounts.length, mount === "none" ? 0 : 1);
        assert.equal(config.mounts[0]?.readonly ?? false, mount === "read-only");
        assert.deepEqual(config.ports.map(({ host, guest }) => [host, guest]), ports);
        assert.equal(config.provision.system?.content ?? "", setup);
      }
    }
  }
});

Deno.test("going back in the wizard asks the question before, with what was said there", async () => {
  const script: (string | typeof BACK)[] = ["one", BACK, "two", "debian-13", BACK, "fedora-42"];
  const rest = ["8G", "none", "8080:80", " echo hi "];
  const asked: string[] = [];
  const answers = await askAll({
    ask({ message, initial }, { canGoBack }) {
      const shown = `│  ${message} (< goes back)`;
      assert.ok(shown.length <= 80, `${shown} breaks a line of 80`);
      asked.push(`${message.split(" ")[0]}|${initial}|${canGoBack}`);
      return Promise.resolve([...script, ...rest][asked.length - 1]);
    },
  }, defaultAnswers("x"));
  assert.deepEqual(asked.slice(0, 6), [
    "Name|x|false",
    "Image|debian-12|true",
    "Name|one|false",
    "Image|debian-12|true",
    "Size|2G|true",
    "Image|debian-13|true",
  ]);
  assert.deepEqual(answers, {
    name: "two",
    image: "fedora-42",
    cpus: 4,
    memory: "8G",
    disk: "60G",
    mount: "none",
    ports: [[8080, 80]],
    setup: "echo hi",
  });
});

const PORTS: readonly (readonly [string, unknown])[] = [
  ["", []],
  ["3000", [[3000, 3000]]],
  [" 8080:80 , 0:22 ", [[8080, 80], [0, 22]]],
  ["80:0", '"80:0" is no port; wanted HOST:GUEST such as 8080:80'],
  ["x", '"x" is no port; wanted HOST:GUEST such as 8080:80'],
  ["70000", '"70000" is no port; wanted HOST:GUEST such as 8080:80'],
  ["80,80:81", "Host port 80 is there twice"],
];
for (const [text, wanted] of PORTS) {
  Deno.test(`ports written as "${text}"`, () => assert.deepEqual(parsePorts(text), wanted));
}
