/**
 * The tree against the schema: every unknown key, wrong type, wrong value and missing key at once.
 * valibot says what is wrong with values. It stops at the first unknown key of a table, takes a list
 * or a date for a table, and skips keys named like Object's own, so the walk over keys is done here,
 * over the same schema.
 */
import * as v from "valibot";
import { nearest } from "../base/typo.ts";
import { dotted, type KeyPath, type Mistake, quoted, tableName } from "./diagnostics.ts";
import { type RumToml, schema } from "./schema.ts";
import { choicesOf, type Kind, kindOf, kindOfSchema } from "./schema_parts.ts";
import type { Tree } from "./syntax.ts";

export type Shape =
  | { readonly ok: true; readonly value: RumToml }
  | { readonly ok: false; readonly mistakes: readonly Mistake[] };

/** The parts of valibot's schemas that a walk needs. */
interface SchemaNode extends v.GenericSchema {
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly item?: SchemaNode;
  readonly value?: SchemaNode;
  readonly key?: SchemaNode;
  readonly wrapped?: SchemaNode;
  readonly pipe?: readonly object[];
}

export function checkShape(tree: Tree): Shape {
  const mistakes: Mistake[] = [];
  // Paths that the walk has spoken about; valibot's opinion of them and below is noise.
  const settled: KeyPath[] = [];
  walk(schema as unknown as SchemaNode, tree, [], { mistakes, settled });
  const result = v.safeParse(schema, tree, { abortPipeEarly: true });
  const seen = new Set<string>();
  for (const issue of result.issues ?? []) {
    const path = (issue.path ?? []).map((item) => item.key as string | number);
    const name = JSON.stringify(path);
    if (seen.has(name) || settled.some((p) => covers(p, path))) continue;
    seen.add(name);
    mistakes.push(fromIssue(issue, path));
  }
  if (mistakes.length > 0 || !result.success) return { ok: false, mistakes };
  return { ok: true, value: result.output };
}

interface Findings {
  readonly mistakes: Mistake[];
  readonly settled: KeyPath[];
}

function walk(node: SchemaNode, value: unknown, path: KeyPath, found: Findings): void {
  const bare = node.wrapped === undefined ? node : node.wrapped;
  const choices = choicesOf(bare) as readonly SchemaNode[] | undefined;
  if (choices !== undefined) {
    const branch = choices.find((choice) => kindOfSchema(choice) === kindOf(value));
    if (branch !== undefined) return walk(branch, value, path, found);
    found.settled.push(path);
    found.mistakes.push(
      wrongType(path, value, choices.map((c) => kindWord(kindOfSchema(c))).join(" or ")),
    );
    return;
  }
  const kind = kindOf(value);
  if (bare.entries !== undefined || bare.type === "record") {
    if (kind !== "table") {
      found.settled.push(path);
      found.mistakes.push(wrongType(path, value, `a table, ${tableName(path)}`));
      return;
    }
    walkTable(bare, value as Tree, path, found);
  } else if (bare.item !== undefined && kind === "array") {
    (value as unknown[]).forEach((item, i) => walk(bare.item!, item, [...path, i], found));
  } else if (bare.item?.entries !== undefined && kind === "table") {
    found.settled.push(path);
    found.mistakes.push({
      ...wrongType(path, value, `a list of tables`),
      suggestion: `[[${dotted(path)}]]`,
    });
  }
}

function walkTable(node: SchemaNode, table: Tree, path: KeyPath, found: Findings): void {
  for (const name of Object.keys(table)) {
    const inside = [...path, name];
    if (node.entries === undefined) {
      // v.record passes over these three in silence.
      if (name === "__proto__" || name === "constructor" || name === "prototype") {
        found.mistakes.push({
          code: "wrong_value",
          path: inside,
          at: "key",
          message: `Name ${quoted(name)} in ${tableName(path)} is reserved; wanted another`,
        });
        continue;
      }
      walk(node.value!, table[name], inside, found);
    } else if (Object.hasOwn(node.entries, name)) {
      walk(node.entries[name], table[name], inside, found);
    } else {
      found.settled.push(inside);
      found.mistakes.push({
        code: "unknown_key",
        path: inside,
        at: "key",
        message: `Unknown key ${quoted(name)} in ${tableName(path)}`,
        suggestion: nearest(name, Object.keys(node.entries)) ?? elsewhere(name, path),
      });
    }
  }
}

/** A key that exists, but in another table: `cpus` at the top is `resources.cpus`. */
function elsewhere(name: string, path: KeyPath): string | undefined {
  const places: string[] = [];
  const search = (node: SchemaNode, at: KeyPath) => {
    const bare = node.wrapped ?? node;
    for (const [key, child] of Object.entries(bare.entries ?? {})) {
      if (key === name && dotted(at) !== dotted(path)) places.push(dotted([...at, key]));
      search(child, [...at, key]);
    }
  };
  search(schema as unknown as SchemaNode, []);
  return places.length === 1 ? places[0] : undefined;
}

function fromIssue(issue: v.BaseIssue<unknown>, path: KeyPath): Mistake {
  const last = issue.path?.at(-1);
  const onKey = last !== undefined && last.origin === "key";
  const parent = last === undefined ? undefined : last.input as unknown;
  if (onKey && kindOf(parent) === "table" && !Object.hasOwn(parent as object, last.key as string)) {
    return {
      code: "missing_key",
      path: path.slice(0, -1),
      at: "key",
      message: `Key ${quoted(path.at(-1))} is missing in ${tableName(path.slice(0, -1))}`,
    };
  }
  if (issue.kind === "schema" && issue.type === "picklist" && typeof issue.input === "string") {
    const options = (issue as unknown as { expected: string }).expected
      .replace(/^\(|\)$/g, "").split(" | ").map((word) => word.replace(/^"|"$/g, ""));
    return {
      code: "wrong_value",
      path,
      at: onKey ? "key" : "value",
      message: onKey
        ? `Unknown name ${quoted(issue.input)} in ${tableName(path.slice(0, -1))}; ` +
          `wanted one of ${options.join(", ")}`
        : `Value of ${dotted(path)} is ${quoted(issue.input)}; wanted one of ${options.join(", ")}`,
      suggestion: nearest(issue.input, options),
    };
  }
  if (issue.kind === "schema") {
    return wrongType(path, issue.input, kindWord(expectedKind(issue)));
  }
  return {
    code: "wrong_value",
    path,
    at: onKey ? "key" : "value",
    message: onKey
      ? `Name ${quoted(issue.input)} in ${tableName(path.slice(0, -1))} is not usable; ` +
        `wanted ${issue.message}`
      : `Value of ${dotted(path)} is ${quoted(issue.input)}; wanted ${issue.message}`,
  };
}

function expectedKind(issue: v.BaseIssue<unknown>): Kind {
  return issue.type === "picklist" ? "string" : issue.type as Kind;
}

function wrongType(path: KeyPath, value: unknown, wanted: string): Mistake {
  return {
    code: "wrong_type",
    path,
    at: "value",
    message: `Value of ${dotted(path)} is ${described(value)}; wanted ${wanted}`,
  };
}

function described(value: unknown): string {
  const kind = kindOf(value);
  if (kind === "string" || kind === "number") return `the ${kind} ${quoted(value)}`;
  return kind === "boolean" ? quoted(value) : kindWord(kind);
}

function kindWord(kind: Kind): string {
  switch (kind) {
    case "array":
      return "a list";
    case "boolean":
      return "true or false";
    case "nothing":
      return "nothing";
    default:
      return `a ${kind}`;
  }
}

function covers(settled: KeyPath, path: KeyPath): boolean {
  return settled.length <= path.length && settled.every((part, i) => part === path[i]);
}
