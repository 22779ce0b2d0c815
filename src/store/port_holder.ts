/**
 * Who listens on a port of this host, from /proc: the socket's inode in /proc/net, then the process
 * that has it open. Best effort by nature (another user's processes cannot be read): a missing
 * answer is no answer, never an error.
 */
export interface PortHolder {
  readonly pid: number;
  readonly command: string;
}

export async function portHolder(
  port: number,
  proto: "tcp" | "udp",
): Promise<PortHolder | undefined> {
  const inodes = new Set<string>();
  for (const file of [`/proc/net/${proto}`, `/proc/net/${proto}6`]) {
    const text = await Deno.readTextFile(file).catch(() => "");
    for (const inode of listeningInodes(text, port, proto)) inodes.add(inode);
  }
  if (inodes.size === 0) return undefined;
  for await (const process of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(process.name)) continue;
    if (!await holdsSocket(process.name, inodes)) continue;
    const command = await Deno.readTextFile(`/proc/${process.name}/comm`).catch(() => "");
    return { pid: Number(process.name), command: command.trim() };
  }
  return undefined;
}

/** Inodes of the sockets bound to `port` in a table of /proc/net: listening (0A) ones for TCP. */
export function listeningInodes(table: string, port: number, proto: "tcp" | "udp"): string[] {
  const wanted = port.toString(16).toUpperCase().padStart(4, "0");
  return table.split("\n").slice(1).flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    if (fields.length < 10 || fields[1].split(":")[1] !== wanted) return [];
    return proto === "udp" || fields[3] === "0A" ? [fields[9]] : [];
  });
}

async function holdsSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  try {
    for await (const fd of Deno.readDir(`/proc/${pid}/fd`)) {
      const target = await Deno.readLink(`/proc/${pid}/fd/${fd.name}`).catch(() => "");
      const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
      if (inode !== undefined && inodes.has(inode)) return true;
    }
  } catch {
    // Gone meanwhile, or another user's.
  }
  return false;
}
