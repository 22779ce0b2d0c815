/** One forward as it is kept: what was asked for, what became of it, and how it is told to others. */
import { RumError } from "../base/errors.ts";
import type { PortConfig } from "../config/types.ts";
import type { ForwardRow } from "../protocol/daemon.ts";

export type ForwardOrigin = "config" | "added" | "auto";

export interface SavedForward {
  readonly bind: string;
  /** As bound: the one that was picked, where one was. */
  readonly host: number;
  /** As asked for. */
  readonly wanted: number;
  readonly guest: number;
  readonly proto: "tcp" | "udp";
  readonly onConflict: "fail" | "next";
  readonly origin: "config" | "added";
}

export type ForwardSpec = Pick<PortConfig, "bind" | "host" | "guest" | "proto">;

export interface Open {
  readonly port: number;
  readonly active: number;
  readonly total: number;
  close(): Promise<void>;
}

export interface Entry {
  readonly spec: PortConfig;
  readonly origin: ForwardOrigin;
  open?: Open;
  error?: RumError;
}

/** What has to be there again after a restart of the daemon; found ones are found again. */
export function savedOf({ spec, origin, open }: Entry): SavedForward[] {
  if (origin === "auto") return [];
  const { bind, host: wanted, guest, proto, onConflict } = spec;
  return [{ bind, host: open?.port ?? wanted, wanted, guest, proto, onConflict, origin }];
}

export function rowOf(entry: Entry, reachable: boolean): ForwardRow {
  const { spec, open, error, origin } = entry;
  return {
    bind: spec.bind,
    host: portOf(entry),
    guest: spec.guest,
    proto: spec.proto,
    state: open === undefined ? "failed" : reachable ? "listening" : "waiting",
    origin,
    ...(open === undefined ? {} : { active: open.active, total: open.total }),
    ...(error === undefined || open !== undefined ? {} : { message: error.message }),
  };
}

export function portOf(entry: Entry): number {
  return entry.open?.port ?? entry.spec.host;
}

/** The same wish, wherever it was bound in the end. */
export function same(a: PortConfig, b: PortConfig): boolean {
  return a.bind === b.bind && a.host === b.host && a.guest === b.guest && a.proto === b.proto;
}

export function overlap(entry: Entry, spec: ForwardSpec): boolean {
  return entry.open !== undefined && spec.host !== 0 && portOf(entry) === spec.host &&
    entry.spec.bind === spec.bind && entry.spec.proto === spec.proto;
}

function at(bind: string, port: number): string {
  return `${bind.includes(":") ? `[${bind}]` : bind}:${port}`;
}

export function ownConflict(bind: string, port: number, own: Entry): RumError {
  return new RumError(
    "port_in_use",
    `Cannot listen on ${at(bind, port)}: this machine forwards it to its port ${own.spec.guest}`,
    { hint: `rum port rm ${port}`, data: { bind, port } },
  );
}

export function noneFree(bind: string, from: number, to: number): RumError {
  return new RumError(
    "port_in_use",
    `Cannot listen on ${bind}: every port from ${from} to ${to} is taken`,
    { hint: "use host = 0 in [[ports]]", data: { bind, port: from } },
  );
}
