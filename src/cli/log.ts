/**
 * `rum log`: what scripts, services, the serial console and the background process wrote, from the
 * files on the host, so it works whatever the machine does. Only the guest agent's own log has to be
 * asked for, and those of services, which stay in the guest. `-f` goes on, with logs that begin later
 * too, until Ctrl+C or until the machine is destroyed (exit 0).
 */
import { EXIT, RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import { formatSize } from "../base/units.ts";
import { readEvents } from "../daemon/event_log.ts";
import type { MachinePaths } from "../plan/paths.ts";
import { MAX_LOG_LINES } from "../protocol/service_calls.ts";
import { followLog, type LogLine, tailLog } from "../store/log_reader.ts";
import { hasMachineFolder } from "../store/machine_folder.ts";
import { untilInterrupted } from "./follow.ts";
import { chosenSources, type LogSource, logSources } from "./log_sources.ts";
import { durationOption } from "./globals.ts";
import { table } from "./table.ts";
import { type Target, targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

const DEFAULT_LINES = 100;
const NEW_LOGS_MS = 1000;
const LIST_MS = 3000;

export async function run(context: Context, call: VerbCall): Promise<number> {
  const { options } = call;
  const lines = linesOption(options.lines);
  const since = typeof options.since === "string"
    ? new Date(Date.now() - durationOption("--since", options.since))
    : undefined;
  const target = await targetOf(context);
  if (options.source === "agent") return await agentLog(context, target, options);
  if (typeof options.source === "string" && options.source.startsWith("service:")) {
    return await serviceLog(context, target, options.source.slice("service:".length), options);
  }
  if (!await hasMachineFolder(target.paths)) {
    throw new RumError("log_not_found", "There are no logs: there is no machine yet", {
      hint: "rum up -d",
    });
  }
  if (options.list === true) return await listLogs(context, target);
  const wanted = options.failed === true
    ? `script:${await failedScript(target.paths)}`
    : typeof options.source === "string"
    ? options.source
    : undefined;
  const choose = async () => chosenSources(await logSources(target.paths), wanted);
  const sources = await choose();
  const starts = new Map<string, number>();
  for (const { path } of sources) {
    starts.set(path, await Deno.stat(path).then((s) => s.size, () => 0));
  }
  const past = await Promise.all(sources.map(async (source) => {
    const upTo = starts.get(source.path);
    return (await tailLog(source.path, { lines, since, upTo })).map((line) => ({ source, line }));
  }));
  for (const { source, line } of merged(past.flat(), lines)) sayLine(context, source, line);
  if (options.follow !== true) return EXIT.ok;
  return await follow(context, target.paths, choose, starts);
}

interface SourcedLine {
  readonly source: LogSource;
  readonly line: LogLine;
}

/** By time; lines without one (foreign text in a log) stay behind the line before them. */
export function merged(all: readonly SourcedLine[], lines: number): readonly SourcedLine[] {
  let last = "";
  const timed = all.map((each) => ({ each, at: last = each.line.at ?? last }));
  timed.sort((a, b) => a.at < b.at ? -1 : a.at > b.at ? 1 : 0);
  const sorted = timed.map(({ each }) => each);
  return lines === Infinity ? sorted : sorted.slice(-lines);
}

async function follow(
  context: Context,
  paths: MachinePaths,
  choose: () => Promise<readonly LogSource[]>,
  starts: ReadonlyMap<string, number>,
): Promise<number> {
  using end = untilInterrupted(context);
  const gone = new AbortController();
  const signal = AbortSignal.any([end.signal, gone.signal]);
  const followed = new Map<string, Promise<void>>();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {});
  const begin = (source: LogSource, from: number) => {
    followed.set(
      source.path,
      (async () => {
        for await (const line of followLog(source.path, { signal, from })) {
          sayLine(context, source, line);
        }
      })().catch(failure.reject),
    );
  };
  const over = new Promise<void>((resolve) => {
    if (signal.aborted) return resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  const look = async () => {
    if (!await hasMachineFolder(paths)) return gone.abort();
    for (const source of await choose()) {
      if (!followed.has(source.path)) begin(source, starts.get(source.path) ?? 0);
    }
  };
  await look();
  const timer = setInterval(() => void look().catch(() => {}), NEW_LOGS_MS);
  try {
    await Promise.race([over, failure.promise]);
  } finally {
    clearInterval(timer);
  }
  await Promise.all(followed.values());
  if (end.signal.aborted) return end.exit();
  context.out.note("The machine was destroyed: nothing more will come");
  return EXIT.ok;
}

function sayLine(context: Context, source: LogSource, line: LogLine): void {
  const body = {
    source: source.name,
    ...(line.at === undefined ? {} : { at: line.at }),
    stream: line.stream,
    text: line.text,
  };
  context.out.record("log", body, () => logText(source, line));
}

/** `10:01:16 system | text`, in the reader's own time; `!` marks stderr, as in the file. */
export function logText({ name }: LogSource, line: LogLine): string {
  const time = line.at === undefined ? "        " : new Date(line.at).toTimeString().slice(0, 8);
  return `${time} ${name} ${line.stream === "err" ? "!" : "|"} ${printableLine(line.text, 65536)}`;
}

async function listLogs(context: Context, target: Target): Promise<number> {
  const looked = await Promise.all((await logSources(target.paths)).map(async (source) => {
    // Gone since the folder was read: rotated just now, or destroyed.
    const info = await Deno.stat(source.path).catch(() => undefined);
    return info === undefined
      ? undefined
      : { ...source, bytes: info.size, changed_at: info.mtime?.toISOString() };
  }));
  const logs = [...looked.filter((log) => log !== undefined), ...await serviceSources(target)];
  context.out.document(
    "logs",
    { logs },
    () =>
      table(
        ["SOURCE", "SIZE", "CHANGED", "FILE"],
        logs.map((log) => [
          log.name,
          "bytes" in log ? formatSize(log.bytes) : "-",
          "changed_at" in log ? log.changed_at ?? "-" : "-",
          "path" in log ? log.path : "in the guest",
        ]),
      ),
  );
  return EXIT.ok;
}

interface ServiceSource {
  readonly name: string;
  readonly kind: "service";
}

/** As the background process knows them: a machine that is off, or has none, shows none. */
async function serviceSources({ paths }: Target): Promise<readonly ServiceSource[]> {
  try {
    const { connectDaemon } = await import("../daemon/client.ts");
    await using client = await connectDaemon(paths);
    const { services } = await client.request("service.list", {}, { deadlineMs: LIST_MS });
    const names = new Set((services as readonly { name: string }[]).map(({ name }) => name));
    return [...names].map((name) => ({ name: `service:${name}`, kind: "service" }));
  } catch (thrown) {
    if (thrown instanceof RumError) return [];
    throw thrown;
  }
}

/** A service writes its log in the guest, without times. */
async function serviceLog(
  context: Context,
  target: Target,
  name: string,
  options: VerbCall["options"],
): Promise<number> {
  if (options.since !== undefined) {
    throw new RumError("usage", "Cannot use --since with the log of a service: it has no times", {
      hint: `rum log --source service:${name} -n 100`,
    });
  }
  const lines = linesOption(options.lines);
  if (lines > MAX_LOG_LINES) {
    throw new RumError(
      "usage",
      `Cannot read -n "${options.lines}" of a service: wanted 1 to ${MAX_LOG_LINES} lines`,
    );
  }
  const { daemonClient } = await import("./daemon_client.ts");
  await using client = await daemonClient(context, target);
  using end = untilInterrupted(context);
  const follow = options.follow === true;
  try {
    await client.request("service.logs", { name, follow, lines }, {
      signal: end.signal,
      onEvent(event) {
        const { service, index, text, count } = event as Readonly<Record<string, unknown>>;
        if (count !== undefined) {
          return context.out.record("dropped", { count }, () => `[${count} lines were too fast]`);
        }
        const source = `service:${service}`;
        const body = { source, index, stream: "out", text: String(text) };
        context.out.record(
          "log",
          body,
          () => `${source}/${index} | ${printableLine(body.text, 65536)}`,
        );
      },
    });
    return EXIT.ok;
  } catch (thrown) {
    if (end.signal.aborted) return end.exit();
    throw thrown;
  }
}

async function failedScript(paths: MachinePaths): Promise<string> {
  const failed = (await readEvents(paths.events)).findLast((event) =>
    event.kind === "script" && event.state === "failed"
  );
  if (failed?.kind === "script") return failed.script;
  throw new RumError("log_not_found", "No script of this machine has failed", {
    hint: "rum log --list",
  });
}

/** Its lines have no time of their own here, and it is asked for them once. */
async function agentLog(
  context: Context,
  target: Target,
  options: VerbCall["options"],
): Promise<number> {
  refuseFor("the agent", options, ["follow", "since"]);
  const { daemonClient } = await import("./daemon_client.ts");
  await using client = await daemonClient(context, target);
  const { text } = await client.request("log", { source: "agent", follow: false });
  const lines = String(text).split("\n").filter((line) => line !== "");
  const wanted = linesOption(options.lines);
  for (const line of wanted === Infinity ? lines : lines.slice(-wanted)) {
    context.out.record(
      "log",
      { source: "agent", stream: "out", text: line },
      () => `agent | ${printableLine(line, 65536)}`,
    );
  }
  return EXIT.ok;
}

/** An option that a source cannot obey is not dropped without a word. @throws {RumError} `usage` */
function refuseFor(whose: string, options: VerbCall["options"], names: readonly string[]): void {
  const given = names.find((name) => options[name] !== undefined && options[name] !== false);
  if (given === undefined) return;
  throw new RumError("usage", `Cannot use --${given} with the log of ${whose}`, {
    hint: "rum log --help",
  });
}

/** @throws {RumError} `usage` */
export function linesOption(text: unknown): number {
  if (text === undefined) return DEFAULT_LINES;
  if (typeof text === "string" && /^\d{1,9}$/.test(text)) return Number(text) || Infinity;
  throw new RumError("usage", `Cannot read -n "${text}": wanted a number of lines, 0 for all`);
}
