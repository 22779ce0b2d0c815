/** The machine's networks over changing plans, with a process that may be killed at every step. */
import assert from "node:assert/strict";
import { createNetworks, madeNetworks } from "../../../src/daemon/networks.ts";
import type { MachineRecord } from "../../../src/machine/record.ts";
import { planNetworking } from "../../../src/plan/network.ts";
import type { PlannedNetwork, RecordedPlan } from "../../../src/plan/types.ts";

const ID = "01234567";
type Record = Pick<MachineRecord, "networks" | "plan">;

/** As `planNetworking` makes them of these interfaces, `name=ip`. */
function networksOf(nat: boolean, ...interfaces: string[]): readonly PlannedNetwork[] {
  return planNetworking(ID, {
    nat,
    hostname: "h",
    interfaces: interfaces.map((text) => {
      const [network, ip] = text.split("=");
      return { network, ip };
    }),
  }, { networkDriver: { available: true, reason: "" }, usedSubnets: [] }).networks;
}

class Killed extends Error {}

/** libvirt's networks and state.json: both outlive the process, which dies before its nth step. */
function host(record: Record = {}) {
  const running = new Map<string, string>();
  const trace: string[] = [];
  let left = Infinity;
  const step = (text: string) => {
    if (left-- <= 0) throw new Killed();
    trace.push(text);
    return Promise.resolve();
  };
  const save = async (patch: Partial<Record>) => {
    await step("save");
    record = { ...record, ...patch };
  };
  return {
    running,
    trace,
    get record() {
      return record;
    },
    dieAfter(steps: number) {
      left = steps;
    },
    /** What `publish` records, then what a launch does; a new process each time. */
    async start(networks: readonly PlannedNetwork[]) {
      trace.length = 0;
      const plan = { networks } as unknown as RecordedPlan;
      await save({ plan, networks: [...madeNetworks(record)] });
      await this.networks().up(networks);
    },
    networks() {
      return createNetworks({
        id: ID,
        record: () => record,
        save,
        hypervisor: {
          network: (ref) => ({
            ref,
            state: () => Promise.reject(new Error("not asked")),
            async up(xml) {
              await step(`up ${ref.name}`);
              // As libvirt does it: nothing happens to one that runs.
              if (!running.has(ref.name)) running.set(ref.name, xml);
            },
            async down() {
              await step(`down ${ref.name}`);
              running.delete(ref.name);
            },
          }),
        },
      });
    },
  };
}

const addresses = (running: ReadonlyMap<string, string>) =>
  [...running.values()].flatMap((xml) => /host [^>]*ip='([^']+)'/.exec(xml)?.[1] ?? []);

Deno.test("networks: a changed address is on the bridge after the next start, and nothing is touched twice", async () => {
  const at = host();
  await at.start(networksOf(true, "lab=10.5.6.3"));
  assert.deepEqual(addresses(at.running), ["10.5.6.3"]);
  await at.start(networksOf(true, "lab=10.5.6.3"));
  assert.deepEqual(at.trace, ["save", ...[...at.running.keys()].map((name) => `up ${name}`)]);
  await at.start(networksOf(true, "lab=10.7.8.3"));
  assert.deepEqual(addresses(at.running), ["10.7.8.3"]);
  assert.equal(at.trace.filter((each) => each.startsWith("down")).length, 1);
});

Deno.test("networks: what left rum.toml is gone after the next start", async () => {
  const at = host();
  await at.start(networksOf(true, "lab=10.5.6.3", "two=10.7.8.3"));
  assert.equal(at.running.size, 3);
  await at.start(networksOf(false, "two=10.7.8.3"));
  assert.deepEqual(addresses(at.running), ["10.7.8.3"]);
  assert.equal(at.running.size, 1);
  await at.start([]);
  assert.equal(at.running.size, 0);
});

Deno.test("networks: those of a record that an earlier rum wrote are made anew, or taken down", async () => {
  const before = networksOf(true, "lab=10.5.6.3");
  const at = host({ plan: { networks: before } as unknown as RecordedPlan });
  for (const { hypervisorName } of before) at.running.set(hypervisorName, "as of an older plan");
  await at.start(networksOf(false, "lab=10.5.6.3"));
  assert.equal(at.running.size, 1);
  assert.deepEqual(addresses(at.running), ["10.5.6.3"]);
});

Deno.test("networks: killed before any step, the next start or destroy leaves nothing behind", async () => {
  const plans = [
    networksOf(true, "lab=10.5.6.3", "two=10.7.8.3"),
    networksOf(false, "lab=10.9.9.3"),
    networksOf(true),
  ];
  for (let first = 0; first < 12; first++) {
    for (let second = 0; second < 12; second++) {
      const at = host();
      at.dieAfter(first);
      await at.start(plans[0]).catch((error) => assert.ok(error instanceof Killed));
      at.dieAfter(second);
      await at.start(plans[1]).catch((error) => assert.ok(error instanceof Killed));
      at.dieAfter(Infinity);
      if ((first + second) % 2 === 0) {
        await at.start(plans[2]);
        assert.deepEqual([...at.running.keys()], plans[2].map((n) => n.hypervisorName));
      }
      await at.networks().down();
      assert.deepEqual([...at.running.keys()], [], `killed at ${first}, then at ${second}`);
    }
  }
});
