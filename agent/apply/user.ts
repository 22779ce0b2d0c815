/**
 * The machine's user: account, groups, shell, sudo without a password, authorized keys. Keys of
 * others in the same file stay; the account never gets a password.
 */
import { RumError } from "../../src/base/errors.ts";
import type { ApplyParams } from "../../src/protocol/agent.ts";
import { type Account, accountOf } from "../accounts.ts";
import { readText } from "../facts.ts";
import { putBlock, putFile } from "./edit.ts";
import { must, tool } from "./tools.ts";

type User = NonNullable<ApplyParams["user"]>;

/** useradd's word for a group that is there already. */
const NAME_IN_USE = 9;

const NAME = /^[a-z_][a-z0-9_-]{0,31}$/;

/** True when anything was changed. */
export async function applyUser(user: User): Promise<boolean> {
  for (const name of [user.name, ...user.groups]) {
    if (!NAME.test(name)) throw new RumError("invalid_params", `"${name}" is no name of a user`);
  }
  let changed = await ensureAccount(user);
  for (const group of user.groups) changed = await ensureMember(user.name, group) || changed;
  if (user.name !== "root") {
    changed = await putFile(
      `/etc/sudoers.d/90-rum-${user.name}`,
      `${user.name} ALL=(ALL) NOPASSWD:ALL\n`,
      0o440,
    ) || changed;
  }
  const account = await accountOf(user.name);
  if (account === undefined) throw new RumError("agent_error", `User "${user.name}" is missing`);
  return await applyKeys(account, user.authorizedKeys) || changed;
}

async function ensureAccount(user: User): Promise<boolean> {
  const account = await accountOf(user.name);
  const shell = await shellOf(user.shell);
  if (account === undefined) {
    // "*" and not "!": no password fits, yet sshd does not call the account locked.
    const how = ["--create-home", "--shell", shell, "--password", "*"];
    const { code } = await tool("useradd", ...how, "--user-group", "--", user.name);
    // Tried and not looked up: each program takes its tenth of a second in an emulated guest.
    const group = code === NAME_IN_USE ? ["--gid", user.name] : ["--user-group"];
    if (code !== 0) await must("useradd", ...how, ...group, "--", user.name);
    return true;
  }
  if (account.shell === shell || user.name === "root") return false;
  await must("usermod", "--shell", shell, "--", user.name);
  return true;
}

/** A shell that is not installed would lock the user out. */
async function shellOf(wanted: string): Promise<string> {
  const found = await Deno.stat(wanted).catch(() => undefined);
  if (found?.isFile) return wanted;
  throw new RumError("agent_error", `The guest has no shell "${wanted}"`);
}

async function ensureMember(user: string, group: string): Promise<boolean> {
  const line = (await readText("/etc/group")).split("\n")
    .find((each) => each.startsWith(`${group}:`));
  if (line?.split(":")[3]?.split(",").includes(user)) return false;
  if (line === undefined && (await tool("getent", "group", group)).code !== 0) {
    await must("groupadd", "--", group);
  }
  await must("usermod", "--append", "--groups", group, "--", user);
  return true;
}

/** True when anything was changed. */
export async function applyKeys(account: Account, wanted: readonly string[]): Promise<boolean> {
  const folder = `${account.home}/.ssh`;
  for (const path of [folder, `${folder}/authorized_keys`]) {
    // The user owns this folder: a link there would make root write wherever it points.
    const found = await Deno.lstat(path).catch(() => undefined);
    if (found?.isSymlink) {
      throw new RumError("agent_error", `"${path}" is a link; keys not written`);
    }
  }
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  await Deno.chown(folder, account.uid, account.gid);
  const path = `${folder}/authorized_keys`;
  const keys = wanted.filter((key) => !/[\r\n]/.test(key));
  const changed = await putBlock(path, keys, 0o600);
  // Also when its content was right: an agent that was killed between the two has left it root's,
  // and sshd, which reads it as its user, lets nobody in.
  return await ensureOwner(path, account) || changed;
}

async function ensureOwner(path: string, { uid, gid }: Account): Promise<boolean> {
  const found = await Deno.lstat(path);
  if (found.uid === uid && found.gid === gid) return false;
  await Deno.chown(path, uid, gid);
  return true;
}
