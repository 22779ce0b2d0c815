/**
 * A hypervisor without a hypervisor: `fake:///FOLDER`. It keeps libvirt's manners (ownership before
 * every verb, states, reasons, events, deadlines), so that faults of everything around the hypervisor
 * are tested without one, across processes and kill -9. It runs nothing: console and channel are
 * unix sockets that a test serves in the folder, `<uuid>.console` and `<uuid>.<channel>`.
 */
import { RumError } from "../base/errors.ts";
import type { HypervisorChoice } from "../plan/types.ts";
import { FakeMachine } from "./fake_machine.ts";
import { FakeStore } from "./fake_store.ts";
import type { Capabilities, Hypervisor, HypervisorNetwork } from "./hypervisor.ts";
import type { MachineRef } from "./operations/owned.ts";

export class FakeHypervisor implements Hypervisor {
  readonly choice: HypervisorChoice;
  readonly #store: FakeStore;
  readonly #machines = new Set<FakeMachine>();
  #closed = false;

  private constructor(choice: HypervisorChoice, store: FakeStore) {
    this.choice = choice;
    this.#store = store;
  }

  static async open(choice: HypervisorChoice): Promise<FakeHypervisor> {
    const folder = decodeURIComponent(new URL(choice.uri).pathname);
    if (!/^\/./.test(folder)) {
      throw new RumError("invalid_params", `Cannot open ${choice.uri}: wanted fake:///FOLDER`);
    }
    const store = new FakeStore(folder);
    await store.prepare();
    return new FakeHypervisor(choice, store);
  }

  machine(ref: MachineRef): FakeMachine {
    const machine = new FakeMachine(this.#store, ref, () => this.#closed);
    this.#machines.add(machine);
    return machine;
  }

  /** As an embedded hypervisor: none. */
  network(ref: { readonly name: string; readonly uuid: string }): HypervisorNetwork {
    const refuse = () =>
      Promise.reject(
        new RumError("not_supported", `Cannot start network "${ref.name}": no network driver`),
      );
    return {
      ref,
      state: () => Promise.resolve("absent"),
      up: refuse,
      down: () => Promise.resolve(),
    };
  }

  versions(): Promise<{ library: string; hypervisor?: string }> {
    return Promise.resolve({ library: "0.0.0" });
  }

  capabilities(): Promise<Capabilities> {
    const { arch } = Deno.build;
    return Promise.resolve({
      arch,
      guests: [{ arch, emulator: "sleep", machines: ["q35"], types: ["qemu"] }],
    });
  }

  networkDriver(): Promise<{ available: boolean; detail: string }> {
    return Promise.resolve({ available: false, detail: "the fake has none" });
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#machines.forEach((machine) => machine.stopWatching());
    this.#machines.clear();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
