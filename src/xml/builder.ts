/**
 * XML out: elements as values, text always escaped. Sixty lines instead of a dependency, because
 * what libvirt wants is elements, attributes and text and nothing else.
 *
 * XML 1.0 has no way to write most control characters, not even as references; a parser ends at the
 * first one. They are refused and not dropped: a path that silently lost a character is another path.
 */
import { RumError } from "../base/errors.ts";

export interface XmlElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly XmlNode[];
}

export type XmlNode = XmlElement | string;

type AttributeValue = string | number | undefined;
type Child = XmlNode | undefined | false;

/** An element; attributes that are undefined and children that are undefined or false are left out. */
export function el(
  name: string,
  attributes: Readonly<Record<string, AttributeValue>> = {},
  ...children: readonly (Child | readonly Child[])[]
): XmlElement {
  const kept: Record<string, string> = {};
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) kept[key] = String(value);
  }
  return {
    name,
    attributes: kept,
    children: children.flat().filter((child): child is XmlNode =>
      child !== undefined && child !== false
    ),
  };
}

/** The document as text, two spaces a level; an element with text stays on one line. */
export function renderXml(root: XmlElement): string {
  return render(root, "") + "\n";
}

function render(element: XmlElement, indent: string): string {
  const attributes = Object.entries(element.attributes)
    .map(([key, value]) => ` ${checkedName(key)}='${escapeXml(value)}'`).join("");
  const open = `${indent}<${checkedName(element.name)}${attributes}`;
  if (element.children.length === 0) return `${open}/>`;
  if (element.children.some((child) => typeof child === "string")) {
    const inner = element.children.map((c) => typeof c === "string" ? escapeXml(c) : render(c, ""));
    return `${open}>${inner.join("")}</${element.name}>`;
  }
  const inner = element.children.map((child) => render(child as XmlElement, indent + "  "));
  return `${open}>\n${inner.join("\n")}\n${indent}</${element.name}>`;
}

const ILLEGAL =
  /[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&apos;",
  // As references, or attribute normalisation turns them into spaces and line ends into one.
  "\t": "&#9;",
  "\n": "&#10;",
  "\r": "&#13;",
};

/** @throws {RumError} `config_invalid` when a character has no form in XML 1.0 */
export function escapeXml(text: string): string {
  const illegal = ILLEGAL.exec(text);
  if (illegal !== null) {
    const code = illegal[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    throw new RumError(
      "config_invalid",
      `Cannot hand ${JSON.stringify(text)} to libvirt: XML cannot hold the character U+${code}`,
    );
  }
  return text.replace(/[&<>"'\t\n\r]/g, (character) => ENTITIES[character]);
}

function checkedName(name: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_.:-]*$/.test(name)) {
    throw new RumError("internal", `"${name}" is no name of an XML element or attribute`);
  }
  return name;
}
