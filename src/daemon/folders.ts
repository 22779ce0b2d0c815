/**
 * The machine's host folders, owned by its daemon: which of them need somebody (copies, and shares
 * whose changes are told to the guest), begun when an agent is there, taken up again with the next
 * one, ended with the machine or when they leave rum.toml. `list` is what `status` shows.
 */
import { toRumError } from "../base/errors.ts";
import type { AgentClient } from "../guest/agent_client.ts";
import { FolderEvents } from "../guest/folder_events.ts";
import { type FolderStatus, FolderSync } from "../guest/folder_sync.ts";
import type { Plan, PlannedMount } from "../plan/types.ts";
import type { EventBody } from "../protocol/machine_events.ts";

export interface FolderRow {
  readonly source: string;
  readonly target: string;
  readonly type: PlannedMount["type"];
  readonly why: string;
  readonly readonly: boolean;
  readonly default: boolean;
  readonly inotify: boolean;
  /** `mounted`: the hypervisor shares it, and nobody has anything to do. */
  readonly state: FolderStatus["state"] | "mounted";
  readonly done?: number;
  readonly total?: number;
  /** Why it is degraded. */
  readonly trouble: readonly string[];
}

export interface Folders {
  /** Begins or goes on with this agent; resolves when every copy is in sync for the first time. */
  attach(client: AgentClient, options: { signal: AbortSignal; wait: boolean }): Promise<void>;
  /** The agent went away, or the machine. */
  detach(): Promise<void>;
  list(): FolderRow[];
}

export interface FoldersOptions {
  /** The plan in force; undefined before there is one. */
  readonly plan: () => Pick<Plan, "mounts" | "user"> | undefined;
  readonly emit: (event: EventBody) => void;
  readonly log: (text: string) => void;
}

type Worker = FolderSync | FolderEvents;

export function createFolders({ plan, emit, log }: FoldersOptions): Folders {
  const workers = new Map<string, { key: string; worker: Worker }>();
  const warn = (text: string) => emit({ kind: "warning", text });
  const note = (text: string) => emit({ kind: "note", text });

  const make = (mount: PlannedMount, user: string): Worker | undefined => {
    const { source, target } = mount;
    if (mount.type === "sync") return new FolderSync({ source, target, user, warn, note });
    return mount.inotify ? new FolderEvents({ source, target, warn, note }) : undefined;
  };

  /** Ends what left the plan, makes what is new in it. */
  async function reconcile(): Promise<void> {
    const present = plan();
    const mounts = present?.mounts ?? [];
    const user = present?.user.name ?? "";
    const keyOf = ({ source, type, inotify }: PlannedMount) =>
      JSON.stringify([source, type, inotify, user]);
    for (const [target, { key, worker }] of workers) {
      if (mounts.some((mount) => mount.target === target && keyOf(mount) === key)) continue;
      workers.delete(target);
      await worker.detach();
    }
    for (const mount of mounts) {
      if (workers.has(mount.target)) continue;
      const worker = make(mount, user);
      if (worker !== undefined) workers.set(mount.target, { key: keyOf(mount), worker });
    }
  }

  return {
    async attach(client, { signal, wait }) {
      await reconcile();
      const begun = [...workers].map(async ([target, { worker }]) => {
        try {
          await worker.attach(client, { signal });
        } catch (error) {
          // The row of `status` says it, and a warning did; the boot goes on.
          log(`Folder ${target}: ${toRumError(error).message}`);
        }
      });
      if (wait) await Promise.all(begun);
      signal.throwIfAborted();
    },
    async detach() {
      await Promise.all([...workers.values()].map(({ worker }) => worker.detach()));
    },
    list() {
      return (plan()?.mounts ?? []).map((mount) => {
        const { source, target, type, why, readonly, inotify } = mount;
        const status = workers.get(target)?.worker.status;
        const { state, done, total } = status ??
          { state: type === "sync" ? "off" as const : "mounted" as const };
        return {
          source,
          target,
          type,
          why,
          readonly,
          default: mount.default,
          inotify,
          state,
          ...(done === undefined ? {} : { done, total }),
          trouble: status?.why ?? [],
        };
      });
    },
  };
}
