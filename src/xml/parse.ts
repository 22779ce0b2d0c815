/**
 * libvirt's XML read back: just what rum needs to know a domain as its own (UUID and metadata must
 * both match before anything is touched) and to reach its console and channel. The parser is loaded
 * on first use. Whatever is unexpected reads as absent, never as a match.
 */
import { RumError } from "../base/errors.ts";
import { AGENT_CHANNEL, METADATA_NAMESPACE } from "./domain.ts";

export interface ParsedMachine {
  readonly name: string;
  readonly uuid: string;
  /** Only on a running one. */
  readonly libvirtId?: number;
  readonly type: string;
  /** rum's own element; absent on a domain that rum did not make. */
  readonly metadata?: {
    readonly id: string;
    readonly version: string;
    readonly configPath: string;
  };
  /** The host's pty, on a running one. */
  readonly consolePty?: string;
  readonly agentChannel?: { readonly path?: string; readonly state?: string };
  readonly vsockCid?: number;
  readonly disks: readonly {
    readonly serial?: string;
    readonly file?: string;
    readonly target?: string;
  }[];
  readonly nics: readonly { readonly mac: string; readonly device?: string }[];
}

interface Element {
  readonly uri: string;
  readonly local: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: Element[];
  text: string;
}

/** @throws {RumError} `hypervisor_error` when it is no domain XML at all */
export async function parseMachineXml(xml: string): Promise<ParsedMachine> {
  const root = await parseTree(xml, "domain");
  const devices = child(root, "devices");
  const id = attribute(root, "id");
  const metadata = metadataOf(root);
  const consolePty = all(devices, "console").concat(all(devices, "serial"))
    .filter((e) => attribute(e, "type") === "pty")
    .map((e) => attribute(child(e, "source"), "path") ?? attribute(e, "tty"))
    .find((path) => path !== undefined);
  const channel = all(devices, "channel")
    .find((e) => attribute(child(e, "target"), "name") === AGENT_CHANNEL);
  const cid = attribute(child(child(devices, "vsock"), "cid"), "address");
  return {
    name: child(root, "name")?.text ?? "",
    uuid: (child(root, "uuid")?.text ?? "").trim().toLowerCase(),
    type: attribute(root, "type") ?? "",
    ...(id === undefined ? {} : { libvirtId: Number(id) }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(consolePty === undefined ? {} : { consolePty }),
    ...(channel === undefined ? {} : {
      agentChannel: {
        path: attribute(child(channel, "source"), "path"),
        state: attribute(child(channel, "target"), "state"),
      },
    }),
    ...(cid === undefined ? {} : { vsockCid: Number(cid) }),
    disks: all(devices, "disk").map((disk) => ({
      serial: child(disk, "serial")?.text,
      file: attribute(child(disk, "source"), "file"),
      target: attribute(child(disk, "target"), "dev"),
    })),
    nics: all(devices, "interface").flatMap((nic) => {
      const mac = attribute(child(nic, "mac"), "address");
      return mac === undefined ? [] : [{ mac, device: attribute(child(nic, "target"), "dev") }];
    }),
  };
}

/** True only when UUID, id and namespace all say that rum made it for this machine. */
export function isOurs(
  domain: Pick<ParsedMachine, "uuid" | "metadata">,
  machine: { readonly id: string; readonly uuid: string },
): boolean {
  return domain.uuid === machine.uuid && domain.metadata?.id === machine.id;
}

export interface ParsedNetwork {
  readonly name: string;
  readonly uuid: string;
  /** The machine it was made for; absent on a network that rum did not make. */
  readonly machineId?: string;
}

/** @throws {RumError} `hypervisor_error` when it is no network XML at all */
export async function parseNetworkXml(xml: string): Promise<ParsedNetwork> {
  const root = await parseTree(xml, "network");
  const own = ownElement(root, "network");
  const machineId = attribute(own, "id");
  return {
    name: child(root, "name")?.text ?? "",
    uuid: (child(root, "uuid")?.text ?? "").trim().toLowerCase(),
    ...(machineId === undefined ? {} : { machineId }),
  };
}

function metadataOf(root: Element): ParsedMachine["metadata"] {
  const own = ownElement(root, "machine");
  const id = attribute(own, "id");
  const version = attribute(own, "version");
  if (own === undefined || id === undefined || version === undefined) return undefined;
  const config = own.children.find((e) => e.uri === METADATA_NAMESPACE && e.local === "config");
  return { id, version, configPath: config?.text ?? "" };
}

function ownElement(root: Element, local: string): Element | undefined {
  return child(root, "metadata")?.children
    .find((e) => e.uri === METADATA_NAMESPACE && e.local === local);
}

function child(element: Element | undefined, name: string): Element | undefined {
  return element?.children.find((e) => e.uri === "" && e.local === name);
}

function all(element: Element | undefined, name: string): Element[] {
  return element?.children.filter((e) => e.uri === "" && e.local === name) ?? [];
}

function attribute(element: Element | undefined, name: string): string | undefined {
  return element === undefined || !Object.hasOwn(element.attributes, name)
    ? undefined
    : element.attributes[name];
}

async function parseTree(xml: string, rootName: string): Promise<Element> {
  const { SaxesParser } = await import("saxes");
  const parser = new SaxesParser({ xmlns: true });
  const top: Element = { uri: "", local: "", attributes: {}, children: [], text: "" };
  const stack = [top];
  parser.on("opentag", (tag) => {
    const attributes = Object.fromEntries(
      Object.values(tag.attributes).map((a) => [a.name, a.value]),
    );
    const element = { uri: tag.uri, local: tag.local, attributes, children: [], text: "" };
    stack[stack.length - 1].children.push(element);
    stack.push(element);
  });
  parser.on("text", (text) => {
    stack[stack.length - 1].text += text;
  });
  parser.on("cdata", (text) => {
    stack[stack.length - 1].text += text;
  });
  parser.on("closetag", () => {
    stack.pop();
  });
  // Without a handler saxes throws at the first mistake, which is what is wanted here.
  try {
    parser.write(xml).close();
  } catch (cause) {
    throw new RumError("hypervisor_error", `Cannot read libvirt's ${rootName} XML`, { cause });
  }
  const root = top.children[0];
  if (root === undefined || root.local !== rootName) {
    throw new RumError(
      "hypervisor_error",
      `Cannot read libvirt's XML: <${root?.local ?? ""}> was found, <${rootName}> is wanted`,
    );
  }
  return root;
}
