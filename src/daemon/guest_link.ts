/**
 * The machine's link to its agent while it is powered: made when the machine starts, given up when
 * it goes off, so that nobody dials a socket that no QEMU listens on.
 */
import { RumError } from "../base/errors.ts";
import type { AgentClient } from "../guest/agent_client.ts";
import { AgentSession, type SessionEvent } from "../guest/agent_session.ts";
import { channelLink } from "../guest/link_channel.ts";
import type { GuestLink } from "../guest/link_reconnect.ts";
import { virtioLink } from "../guest/link_virtio.ts";
import { vsockLink } from "../guest/link_vsock.ts";
import type { HypervisorMachine } from "../libvirt/hypervisor.ts";
import type { MachinePaths } from "../plan/paths.ts";
import type { RecordedPlan } from "../plan/types.ts";
import { agentTokens } from "../store/agent_token.ts";
import { AGENT_VSOCK_PORT } from "../wire/mux_vsock.ts";
import { AGENT_CHANNEL } from "../xml/domain.ts";
import { parseMachineXml } from "../xml/parse.ts";

export interface PoweredLinkOptions {
  readonly paths: MachinePaths;
  readonly plan: () => Pick<RecordedPlan, "transport"> | undefined;
  readonly machine: () => HypervisorMachine;
  readonly paused: () => boolean;
  readonly on: (event: SessionEvent) => void;
}

export interface PoweredLink {
  /** The session of the present power-on; begun when there is none. */
  session(): AgentSession;
  readonly client: AgentClient | undefined;
  /** The agent was there in this power-on, and to this daemon. */
  readonly seen: boolean;
  /** What `status` shows; undefined while off. */
  readonly transport: string | undefined;
  /** The guest was reset: what answered before is gone, the next hello is another boot's. */
  guestGone(): void;
  /** The machine went off, or the daemon ends. */
  powerOff(): Promise<void>;
}

export function createPoweredLink(options: PoweredLinkOptions): PoweredLink {
  let present: { session: AgentSession; link: GuestLink } | undefined;
  return {
    session() {
      if (present === undefined) {
        const link = linkOf(options);
        const session = new AgentSession({
          link,
          tokens: agentTokens(options.paths.token),
          on: options.on,
          paused: options.paused,
        });
        present = { link, session };
      }
      return present.session;
    },
    get client() {
      return present?.session.client;
    },
    get seen() {
      return present?.session.seen ?? false;
    },
    get transport() {
      return present?.link.transport;
    },
    guestGone() {
      present?.session.client?.close(
        new RumError("agent_restarted", "The guest rebooted under this request"),
      );
    },
    async powerOff() {
      const old = present;
      present = undefined;
      await old?.session.close();
    },
  };
}

function linkOf(options: PoweredLinkOptions): GuestLink {
  const transport = options.plan()?.transport;
  if (transport?.kind === "vsock") {
    return vsockLink({ cid: () => cidOf(options.machine()), port: AGENT_VSOCK_PORT });
  }
  if (transport?.channel === "stream") {
    return channelLink((signal) => options.machine().openChannel(AGENT_CHANNEL, { signal }));
  }
  return virtioLink(options.paths.agentSocket);
}

/** libvirt picks the CID at each start. */
async function cidOf(machine: HypervisorMachine): Promise<number> {
  const { vsockCid } = await parseMachineXml(await machine.xml());
  if (vsockCid === undefined) throw new Error("the running machine has no vsock address");
  return vsockCid;
}
