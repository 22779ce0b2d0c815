/**
 * Is this document what docs/output.schema.json says? A validator for the few words of JSON Schema
 * that the table in src/protocol/output.ts uses; a word that it does not know fails, so that nothing
 * is published unchecked.
 */
import assert from "node:assert/strict";
import {
  DOCUMENT_TYPES,
  documentSchema,
  type DocumentType,
  type OutputSchema,
} from "../../src/protocol/output.ts";

/** Answers the document, so that it can stand around a `JSON.parse`. */
export function published<T>(document: T): T {
  const { type } = document as { type?: unknown };
  assert.ok(DOCUMENT_TYPES.includes(type as DocumentType), `rum prints no type ${String(type)}`);
  const wrong = mistakesIn(document, documentSchema(type as DocumentType), String(type));
  assert.deepEqual(wrong, [], JSON.stringify(document));
  return document;
}

export function mistakesIn(value: unknown, schema: OutputSchema, at: string): string[] {
  return Object.entries(schema).flatMap(([word, wanted]) => {
    switch (word) {
      case "description":
      case "required":
        return [];
      case "const":
        return value === wanted ? [] : [`${at} is ${JSON.stringify(value)}, wanted ${wanted}`];
      case "enum":
        return (wanted as unknown[]).includes(value)
          ? []
          : [`${at} is ${JSON.stringify(value)}, wanted one of ${wanted}`];
      case "minimum":
        return (value as number) >= (wanted as number) ? [] : [`${at} is below ${wanted}`];
      case "type":
        return isOfType(value, wanted as string) ? [] : [`${at} is no ${wanted}`];
      case "items":
        return Array.isArray(value)
          ? value.flatMap((item, i) => mistakesIn(item, wanted as OutputSchema, `${at}[${i}]`))
          : [];
      case "anyOf": {
        const each = (wanted as OutputSchema[]).map((one) => mistakesIn(value, one, at));
        return each.some((mistakes) => mistakes.length === 0) ? [] : each.flat();
      }
      case "properties": {
        if (!isOfType(value, "object")) return [];
        const required = (schema.required ?? []) as string[];
        return Object.entries(wanted as Record<string, OutputSchema>).flatMap(([key, child]) => {
          const held = (value as Record<string, unknown>)[key];
          if (held !== undefined) return mistakesIn(held, child, `${at}.${key}`);
          return required.includes(key) ? [`${at}.${key} is missing`] : [];
        });
      }
      default:
        throw new Error(`The validator does not know "${word}"`);
    }
  });
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case "null":
      return value === null;
    case "array":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "integer":
      return Number.isInteger(value);
    case "string":
      return typeof value === "string";
    case "boolean":
      return typeof value === "boolean";
    case "number":
      return typeof value === "number";
    default:
      throw new Error(`The validator does not know the type "${type}"`);
  }
}
