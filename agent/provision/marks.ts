/**
 * What has been done, durably: which System scripts of the first boot passed (by hash), the sentinel
 * once all did, and, under the run folder that ends with the boot, which Boot scripts this boot has
 * started and how they ended. A script that was started and never ended was killed with its agent:
 * it counts as failed, so that nothing runs twice unasked.
 */
import { object, oneOf, optional, record, text } from "../../src/protocol/shape.ts";
import { integer } from "../../src/protocol/shape.ts";
import { readJson, writeDurably } from "../durable.ts";
import type { AgentOptions } from "../options.ts";

const doneShape = object({ done: record(text(64), 256) });
const bootShape = object({
  scripts: record(
    object({
      hash: text(64),
      state: oneOf("started", "passed", "failed"),
      code: optional(integer(0, 255)),
    }),
    256,
  ),
});
export type BootMark = ReturnType<typeof bootShape>["scripts"][string];

export interface Marks {
  readonly sentinel: boolean;
  readonly done: Readonly<Record<string, string>>;
}

export class MarkFiles {
  readonly #sentinelPath: string;
  readonly #donePath: string;
  readonly #bootPath: string;
  readonly #run: string;

  constructor(options: AgentOptions, bootId: string) {
    this.#sentinelPath = `${options.state}/.system-provisioned`;
    this.#donePath = `${options.state}/done.json`;
    this.#run = options.run;
    this.#bootPath = `${options.run}/boot-${bootId}.json`;
  }

  async read(): Promise<Marks> {
    const sentinel = await Deno.lstat(this.#sentinelPath).then(() => true, () => false);
    return { sentinel, done: readShape(doneShape, await readJson(this.#donePath))?.done ?? {} };
  }

  async markDone(name: string, hash: string): Promise<void> {
    const { done } = await this.read();
    await writeDurably(this.#donePath, JSON.stringify({ done: { ...done, [name]: hash } }));
  }

  async writeSentinel(): Promise<void> {
    await writeDurably(this.#sentinelPath, `${new Date().toISOString()}\n`);
  }

  /** Undefined: nothing has run in this boot yet. */
  async readBoot(): Promise<Readonly<Record<string, BootMark>> | undefined> {
    return readShape(bootShape, await readJson(this.#bootPath))?.scripts;
  }

  async markBoot(name: string, mark: BootMark): Promise<void> {
    await Deno.mkdir(this.#run, { recursive: true, mode: 0o755 });
    const scripts = { ...await this.readBoot(), [name]: mark };
    await writeDurably(this.#bootPath, JSON.stringify({ scripts }));
  }

  /** This boot's turn is taken, even if there is no script at all. */
  async claimBoot(): Promise<void> {
    await Deno.mkdir(this.#run, { recursive: true, mode: 0o755 });
    if (await this.readBoot() === undefined) {
      await writeDurably(this.#bootPath, JSON.stringify({ scripts: {} }));
    }
  }
}

function readShape<T>(shape: (value: unknown, path: string) => T, value: unknown): T | undefined {
  try {
    return shape(value, "");
  } catch {
    return undefined;
  }
}
