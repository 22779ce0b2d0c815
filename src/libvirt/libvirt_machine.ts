/** One machine behind libvirt: each method is one operation with its sentence and its deadline. */
import type { ErrorCode } from "../base/errors.ts";
import { RumError } from "../base/errors.ts";
import type { Duplex } from "../wire/duplex.ts";
import type {
  CallOptions,
  HypervisorMachine,
  Impact,
  MachineEvent,
  MachineStatus,
  RawStats,
  Screenshot,
  StreamOptions,
} from "./hypervisor.ts";
import type { LibvirtHypervisor } from "./libvirt_hypervisor.ts";
import type { MachineRef } from "./operations/owned.ts";
import type { OperationArgs, OperationName, OperationResult } from "./operations/table.ts";
import { openLibvirtStream } from "./open_stream.ts";
import { stateName } from "./state_names.ts";

const SHORT_MS = 15_000;
/** The first start in a fresh place asks QEMU for its capabilities. */
const START_MS = 120_000;

type ArgsOf<N extends OperationName> = Omit<OperationArgs<N>, "connection" | "machine">;

export class LibvirtMachine implements HypervisorMachine {
  readonly ref: MachineRef;
  readonly #hypervisor: LibvirtHypervisor;

  constructor(hypervisor: LibvirtHypervisor, ref: MachineRef) {
    this.#hypervisor = hypervisor;
    this.ref = ref;
  }

  async status(options: CallOptions = {}): Promise<MachineStatus> {
    const raw = await this.#call("state", {}, "look at", options);
    return raw === undefined ? { state: "absent", reason: "" } : stateName(raw);
  }

  async define(xml: string, options: CallOptions = {}): Promise<void> {
    await this.#call("define", { xml }, "define", options, { deadlineMs: START_MS });
    await this.#hypervisor.shareWhatWasLearned();
  }

  undefine(options: CallOptions = {}): Promise<void> {
    return this.#call("undefine", {}, "undefine", options);
  }

  async start(options: CallOptions = {}): Promise<void> {
    await this.#call("start", {}, "start", options, {
      deadlineMs: START_MS,
      otherwise: "start_failed",
    });
    await this.#hypervisor.shareWhatWasLearned();
  }

  shutdown(options: CallOptions = {}): Promise<void> {
    return this.#call("shutdown", {}, "shut down", options);
  }

  forceOff(options: CallOptions = {}): Promise<void> {
    return this.#call("forceOff", {}, "force off", options, { deadlineMs: 30_000 });
  }

  pause(options: CallOptions = {}): Promise<void> {
    return this.#call("pause", {}, "pause", options);
  }

  resume(options: CallOptions = {}): Promise<void> {
    return this.#call("resume", {}, "resume", options);
  }

  reboot(options: CallOptions & { readonly hard?: boolean } = {}): Promise<void> {
    return this.#call("reboot", { hard: options.hard ?? false }, "reboot", options);
  }

  rename(newName: string, options: CallOptions = {}): Promise<void> {
    return this.#call("rename", { newName }, `rename to "${newName}"`, options);
  }

  xml(options: CallOptions & { readonly inactive?: boolean } = {}): Promise<string> {
    return this.#call("xml", { inactive: options.inactive ?? false }, "describe", options);
  }

  watch(listener: (event: MachineEvent) => void): Disposable {
    return this.#hypervisor.watchers.add(this, listener);
  }

  openConsole(options: StreamOptions = {}): Promise<Duplex> {
    return openLibvirtStream(this.#hypervisor, this.ref, {
      ...options,
      what: `the console of machine "${this.ref.name}"`,
    });
  }

  openChannel(name: string, options: StreamOptions = {}): Promise<Duplex> {
    return openLibvirtStream(this.#hypervisor, this.ref, {
      ...options,
      channel: name,
      what: `the channel ${name} of machine "${this.ref.name}"`,
    });
  }

  screenshot(options: CallOptions = {}): Promise<Screenshot> {
    return this.#call("screenshot", { screen: 0 }, "take a screenshot of", options);
  }

  sendKeys(
    codes: readonly number[],
    options: CallOptions & { holdMs?: number } = {},
  ): Promise<void> {
    const holdMs = options.holdMs ?? 50;
    return this.#call("sendKeys", { codes, holdMs }, "send keys to", options);
  }

  stats(options: CallOptions = {}): Promise<RawStats> {
    return this.#call("stats", {}, "read the counters of", options);
  }

  async monitorCommand(command: object, options: CallOptions = {}): Promise<unknown> {
    const text = JSON.stringify(command);
    const answer = await this.#call(
      "monitorCommand",
      { command: text },
      "ask the monitor of",
      options,
      { otherwise: "monitor_error" },
    );
    try {
      return JSON.parse(answer);
    } catch (cause) {
      throw new RumError(
        "monitor_error",
        `Cannot read the monitor's answer to ${text}: found ${JSON.stringify(answer.slice(0, 80))}`,
        { cause },
      );
    }
  }

  setMemory(bytes: number, options: CallOptions = {}): Promise<void> {
    return this.#call("setMemory", { bytes }, "change the memory of", options);
  }

  attachDevice(xml: string, impact: Impact, options: CallOptions = {}): Promise<void> {
    return this.#call("attachDevice", { xml, impact }, "attach a device to", options);
  }

  detachDevice(xml: string, impact: Impact, options: CallOptions = {}): Promise<void> {
    return this.#call("detachDevice", { xml, impact }, "detach a device from", options);
  }

  updateDevice(xml: string, impact: Impact, options: CallOptions = {}): Promise<void> {
    return this.#call("updateDevice", { xml, impact }, "change a device of", options);
  }

  resizeBlock(disk: string, bytes: number, options: CallOptions = {}): Promise<void> {
    return this.#call("resizeBlock", { disk, bytes }, "resize a disk of", options);
  }

  #call<N extends OperationName>(
    operation: N,
    args: ArgsOf<N>,
    verb: string,
    options: CallOptions,
    more: { readonly deadlineMs?: number; readonly otherwise?: ErrorCode } = {},
  ): Promise<OperationResult<N>> {
    const whole = { ...args, machine: this.ref } as unknown as Omit<
      OperationArgs<N>,
      "connection"
    >;
    return this.#hypervisor.connection.call(operation, whole, {
      doing: `${verb} machine "${this.ref.name}"`,
      deadlineMs: options.deadlineMs ?? more.deadlineMs ?? SHORT_MS,
      signal: options.signal,
      otherwise: more.otherwise,
    });
  }
}
