/** The guest's addresses, which it has only after its agent said hello. */
import assert from "node:assert/strict";
import { type AddressedClient, createGuestAddresses } from "../../../src/daemon/guest_addresses.ts";
import type { GuestAddress } from "../../../src/protocol/agent.ts";
import { TurnedClock } from "../../support/turned_clock.ts";

const at = (address: string): GuestAddress => ({ interface: "eth0", family: "IPv4", address });

/** A guest over a link; what it answers may change. */
function guest(hello: GuestAddress[] = []) {
  const clock = new TurnedClock();
  const addresses = createGuestAddresses(clock);
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  const bed = {
    clock,
    addresses,
    close,
    asked: 0,
    now: [] as GuestAddress[] | undefined,
    silent: false,
    known: () => addresses.of(client).map(({ address }) => address),
  };
  const client = {
    hello: { addresses: hello },
    mux: { closed },
    stats() {
      bed.asked++;
      return bed.silent ? Promise.reject(new Error("silent")) : Promise.resolve({
        uptimeMs: 1,
        load: [],
        memory: { totalBytes: 1, availableBytes: 1 },
        processes: 1,
        agentRssBytes: 1,
        addresses: bed.now,
      });
    },
  } as unknown as AddressedClient;
  return Object.assign(bed, { client });
}

Deno.test("addresses: a guest that had none at its hello is asked again, ever more rarely", async () => {
  const bed = guest();
  bed.addresses.follow(bed.client);
  await bed.clock.turn(3000);
  assert.deepEqual([bed.asked, bed.known()], [2, []]);
  bed.now = [at("10.0.2.15")];
  await bed.clock.turn(4000);
  assert.deepEqual([bed.asked, bed.known()], [3, ["10.0.2.15"]]);
  bed.now = [at("10.0.2.16")];
  await bed.clock.turn(29_000);
  assert.deepEqual([bed.asked, bed.known()], [3, ["10.0.2.15"]]);
  await bed.clock.turn(1000);
  assert.deepEqual([bed.asked, bed.known()], [4, ["10.0.2.16"]]);
});

Deno.test("addresses: once the machine is ready they are known at once", async () => {
  const bed = guest();
  bed.now = [at("10.0.2.15")];
  await bed.addresses.look(bed.client, new AbortController().signal);
  assert.deepEqual(bed.known(), ["10.0.2.15"]);
});

Deno.test("addresses: an agent of before this was told keeps its hello's and is left alone", async () => {
  const bed = guest([at("10.0.2.15")]);
  bed.now = undefined;
  bed.addresses.follow(bed.client);
  await bed.clock.turn(300_000);
  assert.deepEqual([bed.asked, bed.known()], [1, ["10.0.2.15"]]);
  assert.equal(bed.clock.sleeping, 0);
});

Deno.test("addresses: a silent agent changes nothing and is asked again; a link's end ends it", async () => {
  const bed = guest([at("10.0.2.15")]);
  bed.silent = true;
  await bed.addresses.look(bed.client, new AbortController().signal);
  bed.addresses.follow(bed.client);
  await bed.clock.turn(60_000);
  assert.deepEqual([bed.asked, bed.known()], [3, ["10.0.2.15"]]);
  bed.close();
  await new Promise((done) => setTimeout(done, 0));
  assert.equal(bed.clock.sleeping, 0);
  assert.equal(bed.asked, 3);
});
