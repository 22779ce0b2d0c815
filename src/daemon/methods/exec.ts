/**
 * exec: a program in the guest, its bytes through us. Nothing is buffered here: what the client does
 * not take, the guest's program cannot write, and the other way round.
 */
import { RumError } from "../../base/errors.ts";
import { longTimer } from "../../base/long_timer.ts";
import type { ExecControl } from "../../guest/agent_exec.ts";
import { flag, integer, list, object, optional, record, text } from "../../protocol/shape.ts";
import { method, type MethodTable } from "../../wire/rpc_types.ts";
import { agentOf } from "../agent_access.ts";
import type { Engine } from "../engine.ts";
import { guestFolderOf } from "../guest_folder.ts";
import { clientOf } from "./lifecycle.ts";

const params = object({
  argv: list(text(128 * 1024), 8192),
  user: optional(text(64)),
  cwd: optional(text(4096)),
  host_cwd: optional(text(4096)),
  login: optional(flag()),
  key: optional(text(64)),
  env: optional(record(text(128 * 1024), 4096)),
  tty: optional(object({
    columns: integer(1, 10_000),
    rows: integer(1, 10_000),
    term: text(64),
  })),
  stdin: flag(),
  timeout_ms: optional(integer(1)),
});

export function execMethods(engine: Engine): MethodTable {
  const running = new Map<string, ExecControl>();
  return {
    exec: method({
      params,
      kind: "stream",
      async handle(context, given, io) {
        const agent = await agentOf(engine, io.signal);
        const stop = new AbortController();
        const onAbort = () => stop.abort(io.signal.reason);
        io.signal.addEventListener("abort", onAbort, { once: true });
        const timer = given.timeout_ms === undefined ? undefined : longTimer(
          given.timeout_ms,
          () =>
            stop.abort(
              new RumError("timeout", `The command ran longer than ${given.timeout_ms} ms`),
            ),
        );
        const name = given.key === undefined ? undefined : `${clientOf(context)} ${given.key}`;
        const send = (stream: "stdout" | "stderr") => (bytes: Uint8Array) =>
          io.emit({ stream, data: bytes.toBase64() });
        try {
          return await agent.exec(
            {
              argv: [...given.argv],
              ...(given.login ? { login: true } : {}),
              ...whose(engine, given),
              ...folder(engine, given),
              ...(given.env === undefined ? {} : { env: given.env }),
              ...(given.tty === undefined ? {} : {
                pty: {
                  cols: given.tty.columns,
                  rows: given.tty.rows,
                  ...(given.tty.term === "" ? {} : { term: given.tty.term }),
                },
              }),
            },
            {
              ...(given.stdin ? { stdin: ReadableStream.from(io.input) } : {}),
              stdout: send("stdout"),
              stderr: send("stderr"),
            },
            {
              signal: stop.signal,
              onStarted(control) {
                if (name !== undefined) running.set(name, control);
                io.onResize(({ columns, rows }) => {
                  control.resize(columns, rows).catch(() => {});
                });
              },
            },
          );
        } finally {
          timer?.cancel();
          io.signal.removeEventListener("abort", onAbort);
          if (name !== undefined) running.delete(name);
        }
      },
    }),
    "exec.signal": method({
      params: object({ key: text(64), signal: text(16) }),
      kind: "read",
      async handle(context, { key, signal }) {
        const control = running.get(`${clientOf(context)} ${key}`);
        // It ended meanwhile: there is nobody left to signal, and that is what was wanted.
        await control?.signal(signal);
        return { delivered: control !== undefined };
      },
    }),
  };
}

/** A login shell is the machine's user's unless it is asked for another's. */
function whose(
  engine: Engine,
  given: { readonly user?: string; readonly login?: boolean },
): { user?: string } {
  const user = given.user ?? (given.login === true ? engine.plan?.user.name : undefined);
  return user === undefined ? {} : { user };
}

/** As asked; else the guest's side of the client's folder; else, for a login, the default mount. */
function folder(
  engine: Engine,
  given: { readonly cwd?: string; readonly host_cwd?: string; readonly login?: boolean },
): { cwd?: string } {
  const mounts = engine.plan?.mounts ?? [];
  const cwd = given.cwd ??
    (given.host_cwd === undefined ? undefined : guestFolderOf(mounts, given.host_cwd)) ??
    (given.login === true ? mounts.find((mount) => mount.default)?.target : undefined);
  return cwd === undefined ? {} : { cwd };
}
