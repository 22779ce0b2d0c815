/**
 * The guest agent without its link: everything a link needs to be served, composed once. `main.ts`
 * adds the command line and the real links, tests add theirs.
 */
import type { Clock } from "../src/base/clock.ts";
import type { Mux } from "../src/wire/mux_types.ts";
import { applyAtBoot } from "./apply/apply.ts";
import type { AgentContext } from "./context.ts";
import { ExecRegistry } from "./exec/registry.ts";
import { readFacts } from "./facts.ts";
import { Folders } from "./folders.ts";
import { HostPresence } from "./host_presence.ts";
import { AgentLog } from "./log.ts";
import type { AgentOptions } from "./options.ts";
import { OneAtATime } from "./one_at_a_time.ts";
import { Provisioner } from "./provision/provisioner.ts";
import { serveLink } from "./serve.ts";
import { Supervision } from "./services/supervision.ts";
import { METHODS } from "./table.ts";
import { TokenFile } from "./token.ts";

export interface Agent {
  readonly context: AgentContext;
  /** Serves one link until it ends. */
  serve(mux: Mux): Promise<void>;
  /** What a boot owes without being asked: mounts, the Boot scripts if no host comes, services. */
  boot(): Promise<void>;
}

export async function createAgent(
  options: AgentOptions,
  hooks: { restart: (reason: string) => void; echoLog: boolean; clock?: Clock },
): Promise<Agent> {
  await Deno.mkdir(options.state, { recursive: true, mode: 0o700 });
  const facts = await readFacts(options);
  const log = await AgentLog.open(`${options.state}/logs`, { echo: hooks.echoLog });
  const host = new HostPresence(hooks.clock);
  const context: AgentContext = {
    options,
    facts,
    log,
    token: new TokenFile(options),
    execs: new ExecRegistry(),
    provisioner: new Provisioner(options, facts, log, hooks.clock),
    services: new Supervision({
      state: options.state,
      run: options.run,
      root: options.root,
      ...(options.dry ? {} : { group: "/sys/fs/cgroup/rum-services" }),
      log: (line) => log.write(line),
    }),
    applying: new OneAtATime(),
    folders: new Folders(options.state),
    host,
    restart: hooks.restart,
  };
  return {
    context,
    serve: (mux) => serveLink(mux, METHODS, context),
    boot: async () => {
      const outcomes = await context.applying.run(() => applyAtBoot(options));
      for (const { item, message } of outcomes) {
        if (message !== undefined) log.write(`at boot, ${item}: ${message}`);
      }
      // Nobody else watches what an earlier life of this agent left running.
      if (await context.services.hasRemains()) await context.services.begin();
      await context.provisioner.runUnattended(host);
      await context.provisioner.settled();
      await context.services.begin();
    },
  };
}
