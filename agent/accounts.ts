/** The guest's accounts: /etc/passwd first, then `getent` for those that live elsewhere. */
import { readText } from "./facts.ts";

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** By name or number; undefined when nobody is called that. */
export async function accountOf(name: string, root = ""): Promise<Account | undefined> {
  const local = findAccount(await readText(`${root}/etc/passwd`), name);
  if (local !== undefined || root !== "") return local;
  try {
    const { success, stdout } = await new Deno.Command("getent", {
      args: ["passwd", "--", name],
      stdin: "null",
      stderr: "null",
    }).output();
    return success ? findAccount(new TextDecoder().decode(stdout), name) : undefined;
  } catch {
    return undefined;
  }
}

export function findAccount(passwd: string, name: string): Account | undefined {
  for (const line of passwd.split("\n")) {
    const [user, , uid, gid, , home, shell] = line.split(":");
    if (shell === undefined || (user !== name && uid !== name)) continue;
    return {
      name: user,
      uid: Number(uid),
      gid: Number(gid),
      home: home || "/",
      shell: shell || "/bin/sh",
    };
  }
  return undefined;
}
