/** `rum service`: the guest's supervised processes, as the daemon knows them and the agent runs them. */
import { EXIT, RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import { formatDuration } from "../base/units.ts";
import type { DaemonClient } from "../daemon/client.ts";
import { daemonClient } from "./daemon_client.ts";
import { untilInterrupted } from "./follow.ts";
import { lineCount } from "./number_option.ts";
import { table } from "./table.ts";
import { targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

type Row = Readonly<Record<string, unknown>>;

export async function run(context: Context, call: VerbCall): Promise<number> {
  const [, verb] = call.verb;
  const [name = ""] = call.operands;
  await using client = await daemonClient(context, await targetOf(context));
  switch (verb) {
    case "ls": {
      const { services } = await client.request("service.list", {}, asked(context));
      context.out.document("service_list", { services }, () => rowsText(services));
      return EXIT.ok;
    }
    case "status": {
      const answer = await client.request("service.get", { name }, asked(context));
      context.out.document("service", answer, () => detailsText(answer));
      return EXIT.ok;
    }
    case "start":
    case "stop":
    case "restart":
    case "reload": {
      const answer = await client.request(`service.${verb}`, { name }, asked(context));
      context.out.document(`service_${verb}`, answer, () => `${answer.message}.`);
      return EXIT.ok;
    }
    case "logs":
      return await logs(context, client, name, call.options);
  }
  throw new RumError("usage", `Cannot run "rum service ${verb}"`, { hint: "rum service --help" });
}

/** `--timeout` ends the waiting; what the agent was asked for goes on. */
function asked({ signal, globals }: Context) {
  return { signal, ...(globals.timeoutMs === undefined ? {} : { deadlineMs: globals.timeoutMs }) };
}

async function logs(
  context: Context,
  client: DaemonClient,
  name: string,
  options: VerbCall["options"],
): Promise<number> {
  const follow = options.follow === true;
  using end = untilInterrupted(context);
  try {
    await client.request("service.logs", { name, follow, lines: lineCount(options.lines) }, {
      signal: end.signal,
      onEvent(event) {
        const { service, index, text, count } = event as Row;
        if (count !== undefined) {
          return context.out.record("dropped", { count }, () => `[${count} lines were too fast]`);
        }
        context.out.record(
          "service_log",
          event,
          () => `${service}/${index} | ${printableLine(String(text), 64 * 1024)}`,
        );
      },
    });
    return EXIT.ok;
  } catch (thrown) {
    if (end.signal.aborted) return end.exit();
    throw thrown;
  }
}

export function rowsText(rows: readonly Row[]): string {
  if (rows.length === 0) return "No services. [services.NAME] in rum.toml defines them.";
  return table(
    ["SERVICE", "STATE", "PID", "UPTIME", "RESTARTS", "REMARK"],
    rows.map((row) => [
      `${row.name}/${row.index}`,
      String(row.state),
      row.pid === undefined ? "-" : String(row.pid),
      row.uptime_ms === undefined ? "-" : formatDuration(Number(row.uptime_ms)),
      String(row.restarts ?? 0),
      remark(row),
    ]),
  );
}

function remark(row: Row): string {
  const parts = [
    row.message === undefined ? undefined : String(row.message),
    row.retry_in_ms === undefined
      ? undefined
      : `again in ${formatDuration(Number(row.retry_in_ms))}`,
    row.adopted === true ? "found again" : undefined,
  ];
  return parts.filter((part) => part !== undefined).join("; ");
}

function detailsText(answer: Row): string {
  const words = (value: unknown) =>
    (Array.isArray(value) ? value : []).map((word) => JSON.stringify(word)).join(" ");
  const restart = answer.restart as Row;
  const health = answer.health as Row;
  const lines = [
    `${answer.name}: ${words(answer.command)}`,
    `as ${answer.user}${answer.cwd === undefined ? "" : ` in ${answer.cwd}`}, ${answer.instances} ${
      answer.instances === 1 ? "instance" : "instances"
    }`,
    `restart ${restart.policy}, health ${health.kind}`,
    rowsText(answer.services as readonly Row[]),
  ];
  return lines.map((line, i) => i < 3 ? printableLine(line) : line).join("\n");
}
