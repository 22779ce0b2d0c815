/** The machine as ssh needs it, from its records: no daemon, no libvirt, no rum.toml. */
import { RumError } from "../base/errors.ts";
import { dirname } from "../base/posix_path.ts";
import type { RecordedPlan } from "../plan/types.ts";
import { lastingCommand, PACKED_FILE } from "../daemon/self_command.ts";
import { hostKeyAlias } from "../store/known_hosts.ts";
import { readState } from "../store/state_file.ts";
import type { SshMachine } from "./ssh_block.ts";
import type { Target } from "./target.ts";
import type { Context } from "./verb.ts";

export interface SshRecord {
  readonly machine: SshMachine;
  readonly ssh: RecordedPlan["ssh"];
  /** The project's. */
  readonly folder: string;
}

/** @throws {RumError} `machine_not_found` before the first `up` */
export async function sshRecord(context: Context, { id, paths }: Target): Promise<SshRecord> {
  const state = await readState(paths);
  const record = state.kind === "ok" ? state.record : undefined;
  if (record?.plan === undefined) {
    throw new RumError("machine_not_found", "There is no machine of this rum.toml yet", {
      hint: "rum up -d",
    });
  }
  const data = context.host.xdgDataHome;
  return {
    ssh: record.plan.ssh,
    folder: dirname(record.config_path),
    machine: {
      id,
      name: record.name,
      user: record.plan.ssh.user,
      identity: paths.sshKey,
      knownHosts: paths.knownHosts,
      hostKeyAlias: hostKeyAlias(id),
      // ~/.ssh/config is read after the next upgrade too.
      self: lastingCommand([], context.env[PACKED_FILE]),
      // An editor started elsewhere must find the same machine.
      env: data === undefined ? {} : { XDG_DATA_HOME: data },
    },
  };
}
