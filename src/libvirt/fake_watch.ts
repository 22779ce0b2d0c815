/** Events of the fake: the record looked at often, differences told in libvirt's words. */
import type { FakeRecord } from "./fake_store.ts";
import type { MachineEvent } from "./hypervisor.ts";

const LOOK_EVERY_MS = 50;

export class FakeWatch {
  readonly #look: () => Promise<FakeRecord | undefined>;
  readonly #lostBy: () => Promise<string | undefined>;
  readonly #listener: (event: MachineEvent) => void;
  #timer?: ReturnType<typeof setTimeout>;
  #stopped = false;
  #lost = false;
  #before?: { readonly record: FakeRecord | undefined };

  constructor(
    look: () => Promise<FakeRecord | undefined>,
    lost: () => Promise<string | undefined>,
    listener: (event: MachineEvent) => void,
  ) {
    this.#look = look;
    this.#lostBy = lost;
    this.#listener = listener;
    this.#timer = setTimeout(() => void this.#run(), 0);
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    try {
      const [reason, record] = await Promise.all([this.#lostBy(), this.#look()]);
      if (this.#stopped) return;
      const lost = reason !== undefined;
      if (lost !== this.#lost) {
        this.#lost = lost;
        this.#listener({ kind: "connection", connected: !lost, reason: reason ?? "" });
      }
      // Nobody tells what happens meanwhile; the first look afterwards does.
      if (!lost) this.#tell(record);
    } catch {
      // Someone else's machine by now, or a folder that is gone: nothing to tell.
    }
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#run(), LOOK_EVERY_MS);
  }

  #tell(record: FakeRecord | undefined): void {
    for (const event of differences(this.#before, record)) this.#listener(event);
    this.#before = { record };
  }
}

function differences(
  before: { readonly record: FakeRecord | undefined } | undefined,
  now: FakeRecord | undefined,
): MachineEvent[] {
  const events: MachineEvent[] = [];
  const was = before?.record;
  if (before !== undefined) {
    if (was === undefined && now !== undefined) events.push(lifecycle("defined", "added"));
    if (was !== undefined && now === undefined) events.push(lifecycle("undefined", "removed"));
    if (now !== undefined && now.state !== (was?.state ?? "off")) events.push(changed(was, now));
    if (was !== undefined && now !== undefined && now.reboots > was.reboots) {
      events.push({ kind: "reboot" });
    }
  }
  if (before === undefined || was?.state !== now?.state || was?.reason !== now?.reason) {
    events.push({
      kind: "state",
      status: now === undefined
        ? { state: "absent", reason: "" }
        : { state: now.state, reason: now.reason },
    });
  }
  return events;
}

function changed(was: FakeRecord | undefined, now: FakeRecord): MachineEvent {
  switch (now.state) {
    case "running":
      return was?.state === "paused"
        ? lifecycle("resumed", "resumed")
        : lifecycle("started", "booted");
    case "paused":
      return lifecycle("paused", now.reason);
    default:
      return lifecycle("stopped", now.reason);
  }
}

function lifecycle(event: string, detail: string): MachineEvent {
  return { kind: "lifecycle", event, detail };
}
