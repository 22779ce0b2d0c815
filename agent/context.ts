/** What every handler shares: made once in `main.ts`, closed with the process. */
import type { ExecRegistry } from "./exec/registry.ts";
import type { Facts } from "./facts.ts";
import type { Folders } from "./folders.ts";
import type { AgentLog } from "./log.ts";
import type { AgentOptions } from "./options.ts";
import type { HostPresence } from "./host_presence.ts";
import type { OneAtATime } from "./one_at_a_time.ts";
import type { Provisioner } from "./provision/provisioner.ts";
import type { Supervision } from "./services/supervision.ts";
import type { TokenFile } from "./token.ts";

export interface AgentContext {
  readonly options: AgentOptions;
  readonly facts: Facts;
  readonly log: AgentLog;
  readonly token: TokenFile;
  readonly execs: ExecRegistry;
  readonly provisioner: Provisioner;
  readonly services: Supervision;
  readonly applying: OneAtATime;
  readonly folders: Folders;
  readonly host: HostPresence;
  /** Replaces this process by the installed agent, or ends it for its unit to restart. */
  readonly restart: (reason: string) => void;
}
