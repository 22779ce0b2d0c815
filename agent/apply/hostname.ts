/** The guest's name: now, after a reboot, and in its own hosts file. */
import { RumError } from "../../src/base/errors.ts";
import { readText } from "../facts.ts";
import { putBlock, putFile } from "./edit.ts";

const KERNEL = "/proc/sys/kernel/hostname";

export async function applyHostname(name: string): Promise<boolean> {
  if (!/^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(name)) {
    throw new RumError("invalid_params", `"${name}" is no host name`);
  }
  let changed = await putFile("/etc/hostname", `${name}\n`, 0o644);
  if ((await readText(KERNEL)).trim() !== name) {
    await Deno.writeTextFile(KERNEL, name);
    changed = true;
  }
  const hosts = await readText("/etc/hosts");
  const known = hosts.split("\n").some((line) =>
    line.startsWith("127.") && line.split(/\s+/).includes(name)
  );
  return (known ? false : await putBlock("/etc/hosts", [`127.0.1.1 ${name}`], 0o644)) || changed;
}
