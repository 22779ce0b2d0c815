/** `rum port ls|add|rm`: the forwards of the running machine. */
import { EXIT, RumError } from "../base/errors.ts";
import type { ForwardRow } from "../protocol/daemon.ts";
import { daemonClient } from "./daemon_client.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { out, signal } = context;
  const [operand = ""] = call.operands;
  const verb = call.verb.at(-1);
  const spec = verb === "add" ? parseForward(operand) : undefined;
  const which = verb === "rm" ? parseHostPort(operand) : undefined;
  await using client = await daemonClient(context, await targetOf(context));
  if (spec !== undefined) {
    const row = await client.request("port.add", spec, { signal });
    out.document("port_add", { forward: row }, () => forwardLine(row));
  } else if (which !== undefined) {
    const { removed } = await client.request("port.remove", which, { signal });
    out.document(
      "port_rm",
      { removed },
      () =>
        removed.map(({ bind, host }) => `${address(bind, host)} is not forwarded any more`)
          .join("\n"),
    );
  } else {
    const { forwards } = await client.request("port.list", {}, { signal });
    out.document("port_list", { forwards }, () => {
      if (forwards.length === 0) return "Nothing is forwarded.";
      return forwards.map(forwardLine).join("\n");
    });
  }
  return EXIT.ok;
}

/** `[BIND:][HOST:]GUEST[/tcp|/udp]`; an IPv6 address in brackets. @throws {RumError} `usage` */
export function parseForward(
  text: string,
): Pick<ForwardRow, "bind" | "host" | "guest" | "proto"> {
  const match = /^(?:(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]+):)?(\d{1,5}):)?(\d{1,5})(?:\/(tcp|udp))?$/
    .exec(text);
  const guest = Number(match?.[3] ?? 0);
  const host = match?.[2] === undefined ? guest : Number(match[2]);
  if (match === null || guest < 1 || guest > 65535 || host > 65535) {
    throw new RumError(
      "usage",
      `Cannot read the forward "${text}": wanted [BIND:][HOST:]GUEST[/udp]`,
      {
        hint: "rum port add --help",
      },
    );
  }
  return {
    bind: match[1]?.replace(/^\[|\]$/g, "") ?? "127.0.0.1",
    host,
    guest,
    proto: match[4] === "udp" ? "udp" : "tcp",
  };
}

/** `[BIND:]HOST`. @throws {RumError} `usage` */
export function parseHostPort(text: string): { readonly host: number; readonly bind?: string } {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]+):)?(\d{1,5})$/.exec(text);
  const host = Number(match?.[2] ?? 0);
  if (match === null || host < 1 || host > 65535) {
    throw new RumError("usage", `Cannot read the host port "${text}": wanted 1 to 65535`, {
      hint: "rum port ls",
    });
  }
  const bind = match[1]?.replace(/^\[|\]$/g, "");
  return bind === undefined ? { host } : { host, bind };
}

export function forwardLine(row: ForwardRow): string {
  const extra = [
    row.state,
    ...(row.origin === undefined || row.origin === "config" ? [] : [row.origin]),
    ...(row.active ? [`${row.active} open`] : []),
  ];
  const why = row.message === undefined ? "" : `: ${row.message}`;
  return `${address(row.bind, row.host)} -> ${row.guest}/${row.proto}  ${extra.join(", ")}${why}`;
}

function address(bind: string, port: number): string {
  return `${bind.includes(":") ? `[${bind}]` : bind}:${port}`;
}
