/**
 * `rum daemon …`: the machine's background process by itself. None of these touches the machine:
 * `stop` releases it, and it runs on. They speak the line protocol only, so that a daemon of any
 * other version can be looked at, ended and replaced.
 */
import { EXIT, RumError } from "../base/errors.ts";
import { printableLine } from "../base/printable.ts";
import { formatDuration } from "../base/units.ts";
import { askLine } from "../daemon/ask_line.ts";
import { livingHolder, probeDaemon } from "../daemon/probe.ts";
import { readDaemonRecord } from "../store/daemon_record.ts";
import { lastingDaemonCommand, startedDaemon } from "./daemon_client.ts";
import { type Target, targetOf } from "./target.ts";
import type { Context, VerbCall } from "./verb.ts";

/** A release may take 30 s, and draining 2 s more. */
const END_MS = 40_000;
const AGAIN_MS = 500;

export async function run(context: Context, call: VerbCall): Promise<number> {
  const target = await targetOf(context);
  switch (call.verb[1]) {
    case "status":
      return await status(context, target);
    case "stop":
      return await stop(context, target);
    case "restart":
      return await restart(context, target);
    case "logs":
      return await logs(context, target, call);
    case "unit":
      return await unit(context, target);
    default:
      throw new RumError("usage", `rum daemon knows no "${call.verb[1]}"`, {
        hint: "rum daemon --help",
      });
  }
}

async function status(context: Context, target: Target): Promise<number> {
  const { paths } = target;
  let state = await probeDaemon(paths, { signal: context.signal });
  const record = state.kind === "absent" ? undefined : await readDaemonRecord(paths);
  let ping: Record<string, unknown> | undefined;
  if (state.kind === "running") {
    try {
      ping = await askLine(paths, "ping", { timeoutMs: 3000, signal: context.signal });
    } catch (thrown) {
      if (!(thrown instanceof RumError) || thrown.code !== "daemon_unreachable") throw thrown;
      // It ended between the two questions.
      state = await probeDaemon(paths, { signal: context.signal });
    }
  }
  const holder = state.kind === "busy" || state.kind === "hung" ? state.holder : undefined;
  const pid = ping?.pid ?? holder?.pid ?? record?.pid;
  const body = {
    id: target.id,
    state: state.kind,
    pid,
    version: ping?.version ?? record?.version,
    uptime_ms: ping?.uptime_ms,
    started_at: record?.started_at,
    ...(holder === undefined ? {} : { operation: holder.operation, since: holder.since }),
    socket: paths.socket,
    log: paths.daemonLog,
  };
  context.out.document("daemon_status", body, () => {
    switch (state.kind) {
      case "running": {
        const uptime = formatDuration(Number(ping?.uptime_ms ?? 0));
        return `running: process ${pid}, rum ${body.version}, up ${uptime}\nlog: ${paths.daemonLog}`;
      }
      case "busy":
        return `busy: process ${pid} holds the machine (${holder?.operation}, since ${holder?.since})`;
      case "hung":
        return `hung: process ${pid ?? "unknown"} does not answer; rum up or rum down end it\n` +
          `log: ${paths.daemonLog}`;
      case "absent":
        return "not running";
    }
  });
  return EXIT.ok;
}

async function stop(context: Context, target: Target): Promise<number> {
  const ended = await release(context, target);
  context.out.document(
    "daemon_stop",
    { id: target.id, did: ended ? "released" : "nothing" },
    () => ended ? "The background process has ended; the machine is as it was." : "not running",
  );
  return EXIT.ok;
}

async function restart(context: Context, target: Target): Promise<number> {
  const { recordedPower } = await import("../store/recorded_power.ts");
  await release(context, target);
  if (await recordedPower(target.paths) === "off") {
    const text = "The machine is off and needs no background process; rum up starts both.";
    context.out.document("daemon_restart", { id: target.id, did: "released" }, () => text);
    return EXIT.ok;
  }
  await using client = await startedDaemon(context, target);
  const { pid, version } = client.welcome;
  context.out.document(
    "daemon_restart",
    { id: target.id, did: "restarted", pid, version },
    () => `running: process ${pid}, rum ${version}`,
  );
  return EXIT.ok;
}

/** False when there was none. @throws {RumError} `daemon_hung`, `busy`, `timeout` */
async function release(context: Context, target: Target): Promise<boolean> {
  const { paths } = target;
  const { signal } = context;
  const { busyError, describeHolder, waitForFlock } = await import("../store/flock.ts");
  const first = await livingHolder(paths.lock);
  if (first !== undefined && first.role !== "daemon") throw busyError(first);
  const self = await describeHolder({ role: "one-shot", operation: "daemon stop" });
  let asked = false;
  for (const end = performance.now() + END_MS;;) {
    try {
      // Again and again, because one that was only just starting did not hear it the first time.
      await askLine(paths, "release", { timeoutMs: 10_000, signal });
      asked = true;
    } catch (thrown) {
      if (!(thrown instanceof RumError) || thrown.code !== "daemon_unreachable") throw thrown;
      if (first === undefined && !asked) return false;
    }
    try {
      const lock = await waitForFlock(paths.lock, { holder: self, deadlineMs: AGAIN_MS, signal });
      await lock.release();
      return true;
    } catch (thrown) {
      if (!(thrown instanceof RumError) || thrown.code !== "busy") throw thrown;
      // Another has it by now: the one that was meant has ended.
      const holder = await livingHolder(paths.lock);
      if (first !== undefined && holder !== undefined && holder.pid !== first.pid) return true;
      if (performance.now() >= end) throw thrown;
    }
  }
}

async function logs(context: Context, target: Target, call: VerbCall): Promise<number> {
  const { followLog, tailLog } = await import("../store/log_reader.ts");
  const given = call.options.lines === undefined ? 100 : Number(call.options.lines);
  if (!Number.isSafeInteger(given) || given < 0) {
    throw new RumError("usage", `--lines ${call.options.lines}: wanted a number, 0 for all`);
  }
  const path = target.paths.daemonLog;
  const show = (line: { at?: string; text: string }) =>
    context.out.record(
      "log",
      { source: "daemon", at: line.at, text: printableLine(line.text, 8192) },
      () => `${line.at ?? ""} ${printableLine(line.text, 8192)}`.trimStart(),
    );
  // Following begins where the tail ends: what is written between the two is told, and once.
  const upTo = await Deno.stat(path).then(({ size }) => size, () => 0);
  for (const line of await tailLog(path, { upTo, ...(given === 0 ? {} : { lines: given }) })) {
    show(line);
  }
  if (call.options.follow !== true) return EXIT.ok;
  for await (const line of followLog(path, { signal: context.signal, from: upTo })) show(line);
  return EXIT.ok;
}

/** As recorded, else as rum.toml has it, else its folder's. */
async function nameOf(context: Context, target: Target): Promise<string> {
  const [{ hasMachineFolder }, { readState }] = await Promise.all([
    import("../store/machine_folder.ts"),
    import("../store/state_file.ts"),
  ]);
  if (await hasMachineFolder(target.paths)) {
    const reading = await readState(target.paths);
    if (reading.kind === "ok") return reading.record.name;
  }
  const { configured } = await import("./configured.ts");
  const config = await configured(target, context.host);
  return config.kind === "good" ? config.name : target.configPath?.split("/").at(-2) ?? target.id;
}

async function unit(context: Context, target: Target): Promise<number> {
  const [{ unitText }, { LEAN }] = await Promise.all([
    import("../daemon/unit.ts"),
    import("../daemon/self_command.ts"),
  ]);
  const names = ["XDG_DATA_HOME", "XDG_CACHE_HOME", "RUM_SELF_DIR", "DENO_DIR"];
  const places = Object.fromEntries(
    names.map((name) => [name, context.env[name]]).filter(([, value]) => value !== undefined),
  ) as Record<string, string>;
  const env = { ...places, ...LEAN };
  const name = await nameOf(context, target);
  const text = unitText({
    id: target.id,
    name,
    command: lastingDaemonCommand(context, target),
    env,
  });
  context.out.document(
    "daemon_unit",
    { id: target.id, unit: `rum-${target.id}.service`, text },
    () => text,
  );
  return EXIT.ok;
}
