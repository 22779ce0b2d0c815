/**
 * The real agent in the test's own process, over an in-memory wire and the real mux, with its state
 * in a temporary folder. What is disposed of at the end: link, agent, folder.
 */
import { type Agent, createAgent } from "../../agent/agent.ts";
import { terminalsAtRest } from "../../agent/exec/pty.ts";
import type { AgentOptions } from "../../agent/options.ts";
import { AgentClient, connectAgent } from "../../src/guest/agent_client.ts";
import type { TokenStore } from "../../src/guest/agent_hello.ts";
import { newToken } from "../../src/protocol/proof.ts";
import { createMux } from "../../src/wire/mux.ts";
import type { Mux } from "../../src/wire/mux_types.ts";
import { duplexPair } from "../../src/wire/pipe.ts";
import "./libc_opened.ts";
import { removeWhole } from "./rum.ts";

export class MemoryTokens implements TokenStore {
  tokens: string[];
  readonly steps: string[] = [];

  constructor(...tokens: string[]) {
    this.tokens = tokens;
  }

  candidates(): Promise<readonly string[]> {
    return Promise.resolve(this.tokens);
  }

  prepare(next: string): Promise<void> {
    this.steps.push("prepare");
    this.tokens = [next, ...this.tokens];
    return Promise.resolve();
  }

  confirm(token: string): Promise<void> {
    this.steps.push("confirm");
    this.tokens = [token];
    return Promise.resolve();
  }
}

export interface AgentBed extends AsyncDisposable {
  readonly agent: Agent;
  readonly options: AgentOptions;
  readonly tokens: MemoryTokens;
  readonly restarts: string[];
  /** A fresh link, unauthenticated. */
  link(): Mux;
  connect(): Promise<AgentClient>;
}

export async function agentBed(overrides: Partial<AgentOptions> = {}): Promise<AgentBed> {
  const folder = await Deno.makeTempDir({ prefix: "rum-agent-bed-" });
  const options: AgentOptions = {
    seed: `${folder}/seed`,
    state: `${folder}/state`,
    run: `${folder}/run`,
    root: "",
    link: "none",
    hostWaitMs: 50,
    bootId: "boot-1",
    dry: true,
    ...overrides,
  };
  await Deno.mkdir(options.seed, { recursive: true });
  const token = newToken();
  await Deno.writeTextFile(`${options.seed}/token`, token);
  const restarts: string[] = [];
  const agent = await createAgent(options, {
    restart: (reason) => restarts.push(reason),
    echoLog: false,
  });
  const tokens = new MemoryTokens(token);
  const links: { host: Mux; guest: Mux; served: Promise<void> }[] = [];
  const link = () => {
    const [a, b] = duplexPair();
    const host = createMux(a, { role: "host" });
    const guest = createMux(b, { role: "guest" });
    links.push({ host, guest, served: agent.serve(guest) });
    return host;
  };
  return {
    agent,
    options,
    tokens,
    restarts,
    link,
    connect: () => connectAgent(link(), { tokens }),
    async [Symbol.asyncDispose]() {
      for (const { host, guest } of links) {
        host.close();
        guest.close();
      }
      await Promise.all(links.map((each) => each.served));
      await agent.context.execs.endAll();
      await agent.context.services.close();
      agent.context.folders.close();
      await terminalsAtRest();
      await removeWhole(folder);
    },
  };
}

/** Runs a command and collects what it wrote, as text. */
export async function execText(
  client: AgentClient,
  argv: readonly string[],
  options: {
    stdin?: string | ReadableStream<Uint8Array>;
    user?: string;
    cwd?: string;
    env?: Record<string, string>;
    signal?: AbortSignal;
  } = {},
): Promise<{ code: number; signal?: string; out: string; err: string }> {
  const { stdin, signal, ...params } = options;
  const out: Uint8Array[] = [];
  const err: Uint8Array[] = [];
  const result = await client.exec({ argv: [...argv], ...params }, {
    stdin: typeof stdin === "string" ? new Blob([stdin]).stream() : stdin,
    stdout: (bytes) => void out.push(bytes.slice()),
    stderr: (bytes) => void err.push(bytes.slice()),
  }, { signal });
  const text = async (parts: Uint8Array[]) => await new Blob(parts as BlobPart[]).text();
  return { ...result, out: await text(out), err: await text(err) };
}
