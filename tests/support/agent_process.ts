/**
 * The real agent as a process of its own on this host, in a temporary folder, over a Unix socket:
 * what a guest runs, without the guest. Disposing kills it and removes the folder.
 */
import { AgentSession } from "../../src/guest/agent_session.ts";
import type { SessionEvent } from "../../src/guest/agent_session.ts";
import { type GuestLink, reconnectingLink } from "../../src/guest/link_reconnect.ts";
import { newToken } from "../../src/protocol/proof.ts";
import { connCarrier } from "../../src/wire/mux_conn.ts";
import { MemoryTokens } from "./agent_in_process.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

export interface AgentProcess extends AsyncDisposable {
  readonly folder: string;
  readonly pid: number;
  readonly tokens: MemoryTokens;
  readonly link: GuestLink;
  readonly session: AgentSession;
  readonly events: SessionEvent[];
  kill(): Promise<void>;
  /** Again, as its unit would. */
  start(): void;
}

export async function agentProcess(
  options: { args?: readonly string[] } = {},
): Promise<AgentProcess> {
  const folder = await Deno.makeTempDir({ prefix: "rum-agent-" });
  await Deno.mkdir(`${folder}/seed`);
  const token = newToken();
  await Deno.writeTextFile(`${folder}/seed/token`, token);
  const socket = `${folder}/agent.sock`;
  const args = ["--seed", `${folder}/seed`, "--state", `${folder}/state`, "--run", `${folder}/run`]
    .concat("--link", `unix:${socket}`, "--dry", options.args ?? []);
  let child: Deno.ChildProcess;
  const start = () => {
    try {
      Deno.removeSync(socket);
    } catch {
      // The first start.
    }
    child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--no-prompt", "-A", `${ROOT}agent/main.ts`, ...args],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  };
  start();
  const tokens = new MemoryTokens(token);
  const events: SessionEvent[] = [];
  const link = reconnectingLink({
    transport: "unix",
    dial: async () => connCarrier(await Deno.connect({ transport: "unix", path: socket })),
  });
  const session = new AgentSession({ link, tokens, on: (event) => events.push(event) });
  const kill = async () => {
    try {
      child.kill("SIGKILL");
    } catch {
      // It ended by itself.
    }
    await child.status;
  };
  return {
    folder,
    get pid() {
      return child.pid;
    },
    tokens,
    link,
    session,
    events,
    kill,
    start,
    async [Symbol.asyncDispose]() {
      await session.close();
      await kill();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
