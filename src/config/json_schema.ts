/**
 * The schema of rum.toml as JSON Schema (draft 7, which editors' TOML plug-ins read), out of the
 * very valibot schema that validates. Only the subset that schema.ts uses is known here; anything
 * else throws, so that a new kind of check cannot be left out of the published schema unnoticed.
 */
import { schema } from "./schema.ts";
import { choicesOf } from "./schema_parts.ts";

export type JsonSchema = { readonly [key: string]: unknown };

interface Action {
  readonly kind: string;
  readonly type: string;
  readonly requirement?: unknown;
  readonly description?: string;
}

interface Node {
  readonly type: string;
  readonly pipe?: readonly Action[];
  readonly entries?: Readonly<Record<string, Node>>;
  readonly item?: Node;
  readonly key?: Node;
  readonly value?: Node;
  readonly wrapped?: Node;
  readonly options?: readonly string[];
  readonly default?: unknown;
}

/** The whole of rum.toml. */
export function rumJsonSchema(): JsonSchema {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "rum.toml",
    description: "One virtual machine for rum.",
    ...convert(schema as unknown as Node),
  };
}

function convert(node: Node): JsonSchema {
  if (node.type === "optional") {
    const inner = convert(node.wrapped!);
    return isEmptyTable(node.default) || node.default === undefined
      ? inner
      : { ...inner, default: node.default };
  }
  return { ...about(node), ...shapeOf(node), ...limitsOf(node) };
}

function shapeOf(node: Node): JsonSchema {
  const choices = choicesOf(node) as readonly Node[] | undefined;
  if (choices !== undefined) return { anyOf: choices.map(convert) };
  switch (node.type) {
    case "strict_object": {
      const entries = Object.entries(node.entries!);
      const required = entries.filter(([, child]) => child.type !== "optional").map(([key]) => key);
      return {
        type: "object",
        properties: Object.fromEntries(entries.map(([key, child]) => [key, convert(child)])),
        ...(required.length === 0 ? {} : { required }),
        additionalProperties: false,
      };
    }
    case "record":
      return {
        type: "object",
        propertyNames: convert(node.key!),
        additionalProperties: convert(node.value!),
      };
    case "array":
      return { type: "array", items: convert(node.item!) };
    case "picklist":
      return { type: "string", enum: node.options };
    case "string":
    case "boolean":
      return { type: node.type };
    case "number":
      return {
        type: actionsOf(node).some(({ type }) => type === "integer") ? "integer" : "number",
      };
    default:
      throw new TypeError(`Cannot say valibot's ${node.type} in JSON Schema`);
  }
}

function limitsOf(node: Node): JsonSchema {
  const limits: Record<string, unknown> = {};
  for (const action of actionsOf(node)) {
    switch (action.type) {
      case "regex":
        limits.pattern = (action.requirement as RegExp).source;
        break;
      case "min_length":
        limits[node.type === "array" ? "minItems" : "minLength"] = action.requirement;
        break;
      case "min_value":
        limits.minimum = action.requirement;
        break;
      case "max_value":
        limits.maximum = action.requirement;
        break;
      // Said by the type, by `description`, or (check) only by the validator: a limit on a size
      // written as text has no JSON Schema.
      case "integer":
      case "check":
      case "description":
        break;
      default:
        throw new TypeError(`Cannot say valibot's ${action.type} in JSON Schema`);
    }
  }
  return limits;
}

/** The checks and notes of a schema; a pipe in a pipe brings its own along. */
function actionsOf(node: Node): Action[] {
  const [root, ...actions] = node.pipe ?? [];
  return root === undefined ? [] : [...actionsOf(root as unknown as Node), ...actions];
}

function about(node: Node): JsonSchema {
  const description = actionsOf(node).findLast(({ type }) => type === "description")?.description;
  return description === undefined ? {} : { description };
}

function isEmptyTable(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0 &&
    !Array.isArray(value);
}

/** As it stands in docs/rum.schema.json. */
export function schemaText(): string {
  return JSON.stringify(rumJsonSchema(), null, 2) + "\n";
}
