/**
 * What no single key can say: keys that contradict each other, names that must exist elsewhere in
 * the file, things that may be there once. Each check is a function from the tree to mistakes and
 * knows nothing of the others; services have a file of their own (service_checks.ts).
 */
import * as posix from "../base/posix_path.ts";
import { nearest } from "../base/typo.ts";
import { findEntry, nearestName } from "../image/catalogue.ts";
import { QEMU_DOORS, uriKind } from "../plan/uri.ts";
import { bindsOverlap, isAddress, isUnicastIPv4 } from "./addresses.ts";
import { dotted, type KeyPath, type Mistake, quoted, tableName } from "./diagnostics.ts";
import { imageKind } from "./image_kind.ts";
import { checkServices } from "./service_checks.ts";
import type { Tree } from "./syntax.ts";
import { type Located, own, tableAt, tablesAt, textOf, textsOf, wholeOf } from "./tree_access.ts";

export const FILE_SYSTEM_TYPES = ["ext4", "xfs", "btrfs", "zfs"] as const;

export function crossCheck(tree: Tree): Mistake[] {
  return [
    checkImage,
    checkMemory,
    checkScripts,
    checkTargets,
    checkMounts,
    checkFileSystems,
    checkInterfaces,
    checkPorts,
    checkAutoPorts,
    checkServices,
    checkHypervisor,
  ].flatMap((check) => check(tree));
}

function conflict(path: KeyPath, message: string, at: "key" | "value" = "value"): Mistake {
  return { code: "conflict", path, at, message };
}

function wrongValue(path: KeyPath, value: unknown, wanted: string): Mistake {
  return {
    code: "wrong_value",
    path,
    at: "value",
    message: `Value of ${dotted(path)} is ${quoted(value)}; wanted ${wanted}`,
  };
}

/** Of keys that exclude each other: none is a key that is missing, several are a conflict. */
function exactlyOne(path: KeyPath, count: number, message: string): Mistake {
  return { code: count === 0 ? "missing_key" : "conflict", path, at: "key", message };
}

function checkImage(tree: Tree): Mistake[] {
  const image = tableAt(tree, "image");
  const base = image === undefined ? undefined : textOf(image, "base");
  if (image === undefined || base === undefined || base === "") return [];
  const path = ["image", "base"];
  switch (imageKind(base)) {
    case "name": {
      if (findEntry(base) !== undefined) return [];
      const known = nearestName(base) ?? "debian-12";
      const wanted = `a short name (rum image search) such as ${known}, an https URL, or a path`;
      return [wrongValue(path, base, wanted)];
    }
    case "url":
      if (!URL.canParse(base) || !/^https?:\/\/[^/]/.test(base)) {
        return [wrongValue(path, base, "an https URL")];
      }
      if (base.startsWith("http://") && own(image, "sha256") === undefined) {
        return [
          wrongValue(path, base, "https, or image.sha256 beside it: http alone proves nothing"),
        ];
      }
      return [];
    case "path":
      return [];
  }
}

function checkMemory(tree: Tree): Mistake[] {
  const resources = tableAt(tree, "resources");
  if (resources === undefined) return [];
  const both = own(resources, "memory") !== undefined && own(resources, "memory_mb") !== undefined;
  return both
    ? [conflict(
      ["resources", "memory_mb"],
      "Keys resources.memory and resources.memory_mb are both set; wanted one of them",
      "key",
    )]
    : [];
}

function checkScripts(tree: Tree): Mistake[] {
  return ["system", "boot"].flatMap((name) => {
    const table = tableAt(tree, "provision", name);
    if (table === undefined) return [];
    const count = ["script", "file"].filter((key) => own(table, key) !== undefined).length;
    if (count === 1) return [];
    const path = ["provision", name];
    return [exactlyOne(
      path,
      count,
      `Table ${tableName(path)} has ${count === 0 ? "neither" : "both"} script ` +
        `${count === 0 ? "nor" : "and"} file; wanted exactly one`,
    )];
  });
}

interface Target extends Located {
  readonly target: string;
}

/** Every mount point in the guest, as one list: two of them must not be nested. */
function targetsOf(tree: Tree): Target[] {
  const tables = [
    ...tablesAt(tree, "mounts"),
    ...FILE_SYSTEM_TYPES.flatMap((type) => tablesAt(tree, "fs", type)),
  ];
  return tables.flatMap(({ table, path }) => {
    const target = textOf(table, "target");
    return target === undefined || !target.startsWith("/")
      ? []
      : [{ table, path, target: normalTarget(target) }];
  });
}

/** `/data/` and `/data//` are `/data`. */
export function normalTarget(target: string): string {
  const normal = posix.normalize(target);
  return normal === "/" ? normal : normal.replace(/\/+$/, "");
}

/** The guest's and the agent's: nothing may be mounted into them, nor above them and so hide them. */
const GUEST_OWN = ["/proc", "/sys", "/dev", "/run/rum", "/var/lib/rum", "/var/run/rum"];

function checkTargets(tree: Tree): Mistake[] {
  const mistakes: Mistake[] = [];
  const targets = targetsOf(tree);
  targets.forEach(({ target, table, path }, i) => {
    const at = [...path, "target"];
    if (textOf(table, "target")!.split("/").includes("..")) {
      mistakes.push(wrongValue(at, textOf(table, "target"), "a path without .."));
      return;
    }
    const hidden = target === "/" || GUEST_OWN.some((own) => contains(own, target))
      ? target
      : GUEST_OWN.find((own) => contains(target, own));
    if (hidden !== undefined) {
      mistakes.push(
        wrongValue(at, target, `a folder that does not hide the guest's own ${hidden}`),
      );
      return;
    }
    const other = targets.slice(0, i).find((o) =>
      contains(o.target, target) || contains(target, o.target)
    );
    if (other === undefined) return;
    const how = other.target === target
      ? "is also the target of"
      : contains(other.target, target)
      ? `lies inside ${quoted(other.target)}, the target of`
      : `contains ${quoted(other.target)}, the target of`;
    mistakes.push(
      conflict(
        at,
        `Target ${quoted(target)} ${how} ${dotted(other.path)}; wanted separate folders`,
      ),
    );
  });
  return mistakes;
}

function contains(outer: string, inner: string): boolean {
  return inner === outer || inner.startsWith(outer === "/" ? "/" : outer + "/");
}

function checkMounts(tree: Tree): Mistake[] {
  const mistakes: Mistake[] = [];
  const mounts = tablesAt(tree, "mounts");
  const defaults = mounts.filter(({ table }) => own(table, "default") === true);
  for (const { path } of defaults.slice(1)) {
    mistakes.push(conflict(
      [...path, "default"],
      `Mount ${dotted(path)} is the default, and so is ${dotted(defaults[0].path)}; ` +
        "wanted at most one",
    ));
  }
  const tags = new Map<string, KeyPath>();
  for (const { table, path } of mounts) {
    const tag = textOf(table, "tag");
    if (tag === undefined) continue;
    const first = tags.get(tag);
    if (first === undefined) tags.set(tag, path);
    else {
      mistakes.push(conflict(
        [...path, "tag"],
        `Tag ${quoted(tag)} is already that of ${dotted(first)}; wanted one of its own`,
      ));
    }
  }
  return mistakes;
}

function checkFileSystems(tree: Tree): Mistake[] {
  const mistakes: Mistake[] = [];
  const known = Object.keys(tableAt(tree, "drives") ?? {});
  const users = new Map<string, KeyPath>();
  for (const type of FILE_SYSTEM_TYPES) {
    for (const { table, path } of tablesAt(tree, "fs", type)) {
      const one = textOf(table, "drive");
      const many = textsOf(table, "drives");
      const hasOne = own(table, "drive") !== undefined;
      const hasMany = own(table, "drives") !== undefined;
      if (hasOne === hasMany) {
        mistakes.push(exactlyOne(
          path,
          hasOne ? 2 : 0,
          `Table ${tableName(path)} has ${
            hasOne ? "both drive and" : "neither drive nor"
          } drives; ` +
            "wanted exactly one",
        ));
      }
      if (many.length > 1 && (type === "ext4" || type === "xfs")) {
        mistakes.push(conflict(
          [...path, "drives"],
          `File system ${dotted(path)} names ${many.length} drives; ${type} stands on exactly one`,
        ));
      }
      if (type !== "zfs" && own(table, "pool") !== undefined) {
        mistakes.push(conflict(
          [...path, "pool"],
          `Key pool in ${tableName(path)} has no meaning for ${type}; wanted it under [[fs.zfs]]`,
          "key",
        ));
      }
      const named = [
        ...(one === undefined ? [] : [{ text: one, at: [...path, "drive"] as KeyPath }]),
        ...many.map(({ text, index }) => ({ text, at: [...path, "drives", index] as KeyPath })),
      ];
      for (const { text, at } of named) {
        if (!known.includes(text)) {
          mistakes.push({
            code: "unknown_name",
            path: at,
            at: "value",
            message: `Drive ${quoted(text)} is not defined; wanted a table [drives.${
              /^[a-z0-9-]+$/.test(text) ? text : "NAME"
            }]`,
            suggestion: nearest(text, known),
          });
          continue;
        }
        const first = users.get(text);
        if (first === undefined) users.set(text, path);
        else {
          mistakes.push(
            conflict(
              at,
              `Drive ${quoted(text)} is already used by ${dotted(first)}; wanted another`,
            ),
          );
        }
      }
    }
  }
  return mistakes;
}

function checkInterfaces(tree: Tree): Mistake[] {
  const mistakes: Mistake[] = [];
  const seen = new Map<string, KeyPath>();
  const subnets = new Map<string, KeyPath>();
  for (const { table, path } of tablesAt(tree, "network", "interfaces")) {
    const ip = textOf(table, "ip");
    const at = [...path, "ip"];
    if (ip !== undefined && !isUnicastIPv4(ip)) {
      mistakes.push(wrongValue(at, ip, "an IPv4 address such as 192.168.77.10"));
    } else if (ip !== undefined && /\.(0|255)$/.test(ip)) {
      mistakes.push(wrongValue(at, ip, "neither the first nor the last address of its /24"));
    } else if (ip !== undefined) {
      const subnet = `${ip.slice(0, ip.lastIndexOf("."))}.0/24`;
      const other = subnets.get(subnet);
      if (other === undefined) subnets.set(subnet, at);
      else {
        mistakes.push(conflict(
          at,
          `Address ${quoted(ip)} is in ${subnet}, which is that of ${dotted(other)}; ` +
            "wanted a /24 for each network",
        ));
      }
    }
    const name = textOf(table, "network");
    if (name === undefined) continue;
    const first = seen.get(name);
    if (first === undefined) seen.set(name, path);
    else {
      mistakes.push(conflict(
        [...path, "network"],
        `Network ${quoted(name)} is already that of ${dotted(first)}; wanted each once`,
      ));
    }
  }
  return mistakes;
}

function checkPorts(tree: Tree): Mistake[] {
  const mistakes: Mistake[] = [];
  const seen: { host: number; bind: string; proto: string; path: KeyPath }[] = [];
  for (const { table, path } of tablesAt(tree, "ports")) {
    const bind = textOf(table, "bind") ?? "127.0.0.1";
    if (!isAddress(bind)) {
      mistakes.push(wrongValue([...path, "bind"], bind, "an IP address such as 127.0.0.1"));
      continue;
    }
    const host = wholeOf(table, "host");
    if (host === undefined || host === 0) continue;
    const proto = textOf(table, "proto") ?? "tcp";
    const other = seen.find((o) =>
      o.host === host && o.proto === proto && bindsOverlap(o.bind, bind)
    );
    if (other === undefined) seen.push({ host, bind, proto, path });
    else {
      mistakes.push(conflict(
        [...path, "host"],
        `Host port ${bind}:${host}/${proto} is already taken by ${dotted(other.path)} ` +
          `(${other.bind}:${host}); wanted another, or host = 0`,
      ));
    }
  }
  return mistakes;
}

function checkAutoPorts(tree: Tree): Mistake[] {
  const table = tableAt(tree, "auto_ports");
  if (table === undefined) return [];
  const mistakes: Mistake[] = [];
  const bind = textOf(table, "bind");
  if (bind !== undefined && !isAddress(bind)) {
    mistakes.push(wrongValue(["auto_ports", "bind"], bind, "an IP address such as 127.0.0.1"));
  }
  const range = /^(\d{1,5})-(\d{1,5})$/.exec(textOf(table, "range") ?? "");
  if (range !== null) {
    const [from, to] = [Number(range[1]), Number(range[2])];
    if (from < 1024 || to > 65535 || from > to) {
      mistakes.push(
        wrongValue(["auto_ports", "range"], range[0], "a rising range within 1024-65535"),
      );
    }
  }
  return mistakes;
}

function checkHypervisor(tree: Tree): Mistake[] {
  const uri = textOf(tableAt(tree, "advanced") ?? {}, "libvirt_uri");
  if (uri === undefined || uri === "auto" || uriKind(uri) !== undefined) return [];
  return [wrongValue(["advanced", "libvirt_uri"], uri, `auto or a door to QEMU: ${QEMU_DOORS}`)];
}
