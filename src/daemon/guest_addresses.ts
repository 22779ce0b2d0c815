/**
 * The guest's addresses, for `status`, which asks nobody: the agent says hello before the network is
 * up, so it is asked again, soon while there are none, now and then later (a lease may change), and
 * once the machine is ready. An agent that is too old to tell keeps what its hello said.
 */
import type { Clock } from "../base/clock.ts";
import { backOffMs } from "../base/schedule.ts";
import type { AgentClient } from "../guest/agent_client.ts";
import type { GuestAddress } from "../protocol/agent.ts";

export type AddressedClient = Pick<AgentClient, "stats"> & {
  readonly hello: Pick<AgentClient["hello"], "addresses">;
  readonly mux: Pick<AgentClient["mux"], "closed">;
};

export interface GuestAddresses {
  /** What is known. */
  of(client: AddressedClient): readonly GuestAddress[];
  /** Asks now. Never fails: what is not answered changes nothing. */
  look(client: AddressedClient, signal: AbortSignal): Promise<void>;
  /** Asks for as long as the client's link lives. */
  follow(client: AddressedClient): void;
}

const ANSWER_MS = 5000;
const AGAIN = { kind: "exponential", firstMs: 1000, maxMs: 30_000 } as const;

export function createGuestAddresses(clock: Clock): GuestAddresses {
  const known = new WeakMap<AddressedClient, readonly GuestAddress[]>();
  const of = (client: AddressedClient) => known.get(client) ?? client.hello.addresses;
  /** False when there is nothing to be asked again. */
  const ask = async (client: AddressedClient, signal: AbortSignal): Promise<boolean> => {
    try {
      const { addresses } = await client.stats({ signal, timeoutMs: ANSWER_MS });
      if (addresses === undefined) return false;
      known.set(client, addresses);
    } catch {
      // A silent agent is noticed by its session.
    }
    return !signal.aborted;
  };
  return {
    of,
    async look(client, signal) {
      await ask(client, signal);
    },
    follow(client) {
      const over = new AbortController();
      void client.mux.closed.then(() => over.abort());
      void (async () => {
        for (let n = 1;; n++) {
          const ms = of(client).length === 0 ? backOffMs(AGAIN, n) : AGAIN.maxMs;
          await clock.sleep(ms, { signal: over.signal }).catch(() => {});
          if (over.signal.aborted || !await ask(client, over.signal)) return;
        }
      })();
    },
  };
}
