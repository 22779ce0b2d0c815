/**
 * The fake hypervisor's memory: one JSON file per machine in a folder, shared by every process that
 * opens it, each change under one lock. A running machine is a sleeping process of its own, so that
 * it outlives whoever started it and can be killed like a QEMU.
 *
 * `behaviour.json`, where a test puts one, makes verbs slow, fail or hang; without it nothing does.
 */
import { type ErrorCode, RumError } from "../base/errors.ts";
import { METADATA_NAMESPACE } from "../xml/domain.ts";
import type { MachineRef } from "./operations/owned.ts";
import type { MachineState } from "./state_names.ts";

export interface FakeRecord extends MachineState {
  readonly name: string;
  readonly uuid: string;
  /** Absent on a domain that is not rum's. */
  readonly id?: string;
  readonly xml: string;
  readonly memoryBytes?: number;
  readonly pid?: number;
  /** Field 22 of /proc/PID/stat: a pid alone may be someone else's by now. */
  readonly startTime?: string;
  /** Counts guest resets, so that watchers see one between two looks. */
  readonly reboots: number;
}

export interface FakeBehaviour {
  /** Verb → what happens instead of success. */
  readonly fail?: Readonly<Record<string, { readonly code: ErrorCode; readonly message: string }>>;
  /** Verb → milliseconds before it acts; longer than its deadline = stuck. */
  readonly delayMs?: Readonly<Record<string, number>>;
  /** The connection is lost, for this reason; back when the word is gone. */
  readonly lost?: string;
  /** The guest does not react to its power button. */
  readonly ignoresShutdown?: boolean;
  /** Instead of a process that sleeps: a guest. Its last argument is a file with the machine's XML. */
  readonly boot?: readonly string[];
}

export class FakeStore {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  get folder(): string {
    return this.#folder;
  }

  async prepare(): Promise<void> {
    await Deno.mkdir(this.#folder, { recursive: true, mode: 0o700 });
  }

  /** What a starting machine runs; writes the XML down for it. */
  async bootCommand({ uuid, xml }: FakeRecord): Promise<readonly string[] | undefined> {
    const { boot } = await this.behaviour();
    if (boot === undefined) return undefined;
    const path = `${this.#folder}/${uuid}.xml`;
    await Deno.writeTextFile(path, xml, { mode: 0o600 });
    return [...boot, path];
  }

  async behaviour(): Promise<FakeBehaviour> {
    return await readJson<FakeBehaviour>(`${this.#folder}/behaviour.json`) ?? {};
  }

  /** The machine's record as it is now, with a process that died noticed. */
  async look(ref: MachineRef): Promise<FakeRecord | undefined> {
    const record = await readJson<FakeRecord>(this.#file(ref.uuid));
    if (record !== undefined) {
      if (record.id !== ref.id) {
        throw foreign(ref, `has its UUID, marked ${record.id ?? "by nobody"}`);
      }
      return withProcess(record);
    }
    for await (const { name } of Deno.readDir(this.#folder)) {
      if (!name.endsWith(".machine")) continue;
      const other = await readJson<FakeRecord>(`${this.#folder}/${name}`);
      if (other?.name === ref.name) throw foreign(ref, `has that name with UUID ${other.uuid}`);
    }
    return undefined;
  }

  /** Looks, changes, writes; nobody else changes anything meanwhile. */
  async change<T>(
    ref: MachineRef,
    f: (record: FakeRecord | undefined) => { record: FakeRecord | undefined; result: T },
  ): Promise<T> {
    using lock = await Deno.open(`${this.#folder}/.lock`, { create: true, write: true });
    await lock.lock(true);
    const before = await this.look(ref);
    const { record, result } = f(before);
    if (record !== undefined) await this.#write(record);
    else if (before !== undefined) await Deno.remove(this.#file(ref.uuid));
    return result;
  }

  async #write(record: FakeRecord): Promise<void> {
    const temporary = `${this.#file(record.uuid)}.${Deno.pid}`;
    await Deno.writeTextFile(temporary, JSON.stringify(record), { mode: 0o600 });
    await Deno.rename(temporary, this.#file(record.uuid));
  }

  #file(uuid: string): string {
    return `${this.#folder}/${uuid}.machine`;
  }
}

/** Reads out of the XML what libvirt would. */
export function recordOf(xml: string, before: FakeRecord | undefined): FakeRecord {
  const name = /<name>([^<]*)<\/name>/.exec(xml)?.[1];
  const uuid = /<uuid>([^<]*)<\/uuid>/.exec(xml)?.[1];
  if (name === undefined || uuid === undefined || !/<\/domain>\s*$/.test(xml)) {
    throw new RumError("hypervisor_error", "Cannot define the machine: its XML is not a machine's");
  }
  const mark = xml.includes(METADATA_NAMESPACE)
    ? /<rum:machine[^>]*\sid=["']([0-9a-f]{8})["']/.exec(xml)?.[1]
    : undefined;
  const fresh = { state: "off", reason: "unknown", reboots: 0 } as const;
  return { ...fresh, ...before, name, uuid, id: mark, xml };
}

/**
 * A process that does nothing, in a session of its own, so that it outlives us; not our child, so
 * that it is gone when it ends and does not wait for us to ask.
 */
export function spawnProcess(
  argv: readonly string[] = ["sleep", "86400"],
): { pid: number; startTime: string } {
  const { stdout } = new Deno.Command("sh", {
    args: ["-c", 'setsid "$@" </dev/null >/dev/null 2>&1 & echo $!', "sh", ...argv],
    stdin: "null",
    stderr: "null",
  }).outputSync();
  const pid = Number(new TextDecoder().decode(stdout));
  return { pid, startTime: startTimeOf(pid) ?? "" };
}

export function killProcess({ pid, startTime }: FakeRecord): void {
  if (pid === undefined || startTimeOf(pid) !== startTime) return;
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function withProcess(record: FakeRecord): FakeRecord {
  if (record.state === "off" || record.pid === undefined) return record;
  if (startTimeOf(record.pid) === record.startTime) return record;
  return { ...record, state: "off", reason: "crashed", pid: undefined, startTime: undefined };
}

/** Undefined when there is no such process, or only what is left of it until someone reaps it. */
function startTimeOf(pid: number): string | undefined {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function foreign({ name, uuid, id }: MachineRef, how: string): RumError {
  return new RumError(
    "foreign_machine",
    `Refusing to touch "${name}": a libvirt domain ${how}; wanted UUID ${uuid} marked ${id}`,
  );
}

async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await Deno.readTextFile(path)) as T;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
