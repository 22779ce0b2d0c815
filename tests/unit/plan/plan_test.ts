import assert from "node:assert/strict";
import fc from "fast-check";
import type { ErrorCode } from "../../../src/base/errors.ts";
import { RumError } from "../../../src/base/errors.ts";
import type { Config } from "../../../src/config/types.ts";
import { parsePrefix, prefixesOverlap } from "../../../src/plan/ipv4.ts";
import { planMount } from "../../../src/plan/mounts.ts";
import { planNetworking } from "../../../src/plan/network.ts";
import { makePlan } from "../../../src/plan/plan.ts";
import { planDocument, renderPlan } from "../../../src/plan/render.ts";
import { checkRoom } from "../../../src/plan/room.ts";
import type { HostFacts, PlannedNetwork } from "../../../src/plan/types.ts";
import { mount, richConfig, richFacts, sampleConfig, sampleFacts } from "./sample.ts";

function refusal(code: ErrorCode, words: RegExp) {
  return (e: unknown) => e instanceof RumError && e.code === code && words.test(e.message);
}

Deno.test("plan of a small file on a bare host, as a dry run prints it", async (t) => {
  await t.assertSnapshot(renderPlan(makePlan(sampleConfig(), sampleFacts())).join("\n"));
});

Deno.test("plan of a rich file on a full host, as a dry run prints it", async (t) => {
  await t.assertSnapshot(renderPlan(makePlan(richConfig(), richFacts())).join("\n"));
});

Deno.test("planDocument is JSON without a service's values or a script's text", () => {
  const text = JSON.stringify(planDocument(makePlan(richConfig(), richFacts())));
  assert.equal(JSON.parse(text).type, "plan");
  assert.ok(text.includes("PASSWORD"));
  assert.ok(!text.includes("hunter2"));
  assert.ok(!text.includes("apt-get"));
});

Deno.test("plan is the same for the same values, and survives JSON", () => {
  const plan = makePlan(richConfig(), richFacts());
  const again = makePlan(richConfig(), richFacts());
  assert.equal(JSON.stringify(plan), JSON.stringify(again));
});

Deno.test("nat without a network driver is user-mode, with one an own network, without nat nothing", () => {
  const kinds = (config: Partial<Config["network"]>, facts: HostFacts) => {
    const network = { nat: true, hostname: "x", interfaces: [], ...config };
    return planNetworking("01234567", network, facts);
  };
  assert.deepEqual(kinds({}, sampleFacts()).nics.map((n) => n.kind), ["user"]);
  assert.deepEqual(kinds({}, sampleFacts()).networks, []);
  assert.deepEqual(kinds({}, richFacts()).networks.map((n) => n.forward), ["nat"]);
  assert.deepEqual(kinds({ nat: false }, richFacts()), { nics: [], networks: [] });
});

Deno.test("an isolated network without a network driver is refused with the reason", () => {
  const network = { nat: true, hostname: "x", interfaces: [{ network: "lan" }] };
  assert.throws(
    () => makePlan(sampleConfig({ network }), sampleFacts()),
    refusal("not_supported", /"lan": an embedded hypervisor has no network driver/),
  );
});

for (
  const [name, ips, words] of [
    ["no address", ["10.0.0"], /"10\.0\.0"/],
    ["the network's own address", ["10.0.0.0"], /10\.0\.0\.0/],
    ["the broadcast address", ["10.0.0.255"], /10\.0\.0\.255/],
    ["two subnets on one network", ["10.0.0.4", "10.0.1.4"], /one network is one \/24/],
    ["the same address twice", ["10.0.0.4", "10.0.0.4"], /twice/],
  ] as const
) {
  Deno.test(`a reservation that cannot be: ${name}`, () => {
    const interfaces = ips.map((ip) => ({ network: "lan", ip }));
    assert.throws(
      () => planNetworking("01234567", { nat: false, hostname: "x", interfaces }, richFacts()),
      refusal("config_invalid", words),
    );
  });
}

Deno.test("the host leaves .1 to a guest that reserves it", () => {
  const interfaces = [{ network: "lan", ip: "10.0.0.1" }];
  const { networks } = planNetworking(
    "01234567",
    { nat: false, hostname: "x", interfaces },
    richFacts(),
  );
  assert.equal(networks[0].hostAddress, "10.0.0.254");
});

Deno.test("own subnets never meet those of the host or each other, and recorded ones stay", () => {
  const hex = fc.stringMatching(/^[0-9a-f]{8}$/);
  const used = fc.array(
    fc.tuple(fc.integer({ min: 192, max: 223 }), fc.nat(255), fc.integer({ min: 13, max: 24 }))
      .map(([b, c, bits]) => `10.${b}.${c}.0/${bits}`),
    { maxLength: 4 },
  );
  fc.assert(fc.property(hex, used, (id, usedSubnets) => {
    const network = { nat: true, hostname: "x", interfaces: [{ network: "a" }, { network: "b" }] };
    const { networks } = planNetworking(id, network, richFacts({ usedSubnets }));
    const all = [...usedSubnets, ...networks.map((n) => n.subnet)].map((s) => parsePrefix(s)!);
    for (const [i, own] of all.slice(usedSubnets.length).entries()) {
      const others = all.filter((_, j) => j !== usedSubnets.length + i);
      assert.ok(!others.some((other) => prefixesOverlap(own, other)));
    }
    const busy = richFacts({ usedSubnets: networks.map((n) => n.subnet) });
    assert.deepEqual(planNetworking(id, network, busy, networks).networks, networks);
  }));
});

/** `name=ip` each, on a host that uses these; the networks as `name subnet`. */
function subnetsOf(
  interfaces: string,
  usedSubnets: string[],
  { nat = false, recorded = [] }: { nat?: boolean; recorded?: readonly PlannedNetwork[] } = {},
): { told: string[]; networks: readonly PlannedNetwork[] } {
  const { networks } = planNetworking(
    "01234567",
    {
      nat,
      hostname: "x",
      interfaces: interfaces.split(" ").map((text) => {
        const [network, ip] = text.split("=");
        return { network, ...(ip === undefined ? {} : { ip }) };
      }),
    },
    richFacts({ usedSubnets }),
    recorded,
  );
  return { told: networks.map(({ name, subnet }) => `${name} ${subnet}`), networks };
}

Deno.test("an address in a /24 that the host uses, or another network has, is refused with both", () => {
  assert.throws(
    () => subnetsOf("a=192.168.1.10", ["172.17.0.0/16", "192.168.0.0/23"]),
    refusal(
      "host_prerequisite",
      /"192\.168\.1\.10" on network "a": .* overlaps 192\.168\.0\.0\/23/,
    ),
  );
  assert.throws(
    () => subnetsOf("a=10.5.6.3 b=10.5.6.4", []),
    refusal("config_invalid", /10\.5\.6\.0\/24 is that of network "a"/),
  );
  // A VPN for everything has routes to both halves of it.
  const { told } = subnetsOf("a=192.168.1.10 b", ["0.0.0.0/1", "128.0.0.0/1"]);
  assert.equal(told[0], "net-a 192.168.1.0/24");
});

Deno.test("the machine's own bridges are in nobody's way, whatever changes", () => {
  const first = subnetsOf("a=10.5.6.3 b=10.7.8.3 c", [], { nat: true });
  const recorded = first.networks;
  const used = recorded.map(({ subnet }) => subnet);
  assert.deepEqual(subnetsOf("a=10.5.6.3 b=10.7.8.3 c", used, { nat: true, recorded }), first);
  const swapped = subnetsOf("a=10.7.8.9 b=10.5.6.9", used, { recorded });
  assert.deepEqual(swapped.told, ["net-a 10.7.8.0/24", "net-b 10.5.6.0/24"]);
  // What rum chose by itself makes room for what rum.toml asks for.
  const host = recorded[0].subnet.replace("0/24", "9");
  const moved = subnetsOf(`a=${host}`, used, { nat: true, recorded }).told;
  assert.equal(moved[1], `net-a ${recorded[0].subnet}`);
  assert.ok(moved[0].startsWith("nat 10.") && !used.includes(moved[0].slice(4)), moved[0]);
});

Deno.test("what was set up when it was free stays when the host comes to use it", () => {
  const { networks: recorded } = subnetsOf("a=10.5.6.3", []);
  assert.deepEqual(
    subnetsOf("a=10.5.6.3", ["10.5.0.0/16", "10.5.6.0/24"], { recorded }).told,
    ["net-a 10.5.6.0/24"],
  );
});

const no = (reason: string) => ({ available: false, reason });
const mountTable: [
  string,
  Partial<Config["mounts"][number]>,
  Partial<HostFacts>,
  string,
  string | RegExp,
][] = [
  ["auto takes virtiofs where it is", {}, {}, "debian-12", "virtiofs"],
  ["auto goes on to 9p", {}, { virtiofs: no("no virtiofsd") }, "ubuntu-24.04", "9p"],
  [
    "auto skips 9p where the guest's kernel lacks it",
    {},
    { virtiofs: no("no virtiofsd") },
    "debian-12",
    "sync",
  ],
  [
    "auto ends at sync",
    {},
    { virtiofs: no("not in a session"), ninep: no("no 9p") },
    "ubuntu-24.04",
    "sync",
  ],
  ["auto keeps readonly off a virtiofs that cannot", { readonly: true }, {}, "ubuntu-24.04", "9p"],
  ["sync is read-only by its nature", { type: "sync", readonly: true }, {}, "debian-12", "sync"],
  [
    "readonly virtiofs where libvirt can",
    { type: "virtiofs", readonly: true },
    { virtiofs: { available: true, reason: "", readonly: true } },
    "debian-12",
    "virtiofs",
  ],
  [
    "readonly virtiofs is refused where it cannot be enforced",
    { type: "virtiofs", readonly: true },
    {},
    "debian-12",
    /cannot enforce readonly/,
  ],
  ["9p asked for and absent", { type: "9p" }, { ninep: no("QEMU lacks it") }, "x", /QEMU lacks it/],
];
for (const [name, change, facts, image, wanted] of mountTable) {
  Deno.test(`mount type: ${name}`, () => {
    const plan = () => planMount({ ...mount("/a", "/b"), ...change }, sampleFacts(facts), image);
    if (wanted instanceof RegExp) assert.throws(plan, refusal("not_supported", wanted));
    else {
      assert.equal(plan().type, wanted);
      assert.notEqual(plan().why, "");
    }
  });
}

Deno.test("vsock asked for on a host without it is refused, auto falls back and says why", () => {
  const { advanced } = sampleConfig();
  assert.throws(
    () => makePlan(sampleConfig({ advanced: { ...advanced, transport: "vsock" } }), sampleFacts()),
    refusal("not_supported", /vhost-vsock does not open/),
  );
  assert.deepEqual(makePlan(sampleConfig(), sampleFacts()).transport, {
    kind: "virtio-serial",
    reason: "no vsock: /dev/vhost-vsock does not open",
    channel: "socket",
  });
});

Deno.test("the channel is a stream where QEMU is not our own user's", () => {
  const env = { uid: 1000, home: "/home/ann" };
  assert.equal(makePlan(sampleConfig(), richFacts({ env })).transport.channel, "stream");
  assert.equal(makePlan(sampleConfig(), richFacts()).transport.channel, "stream");
  assert.equal(makePlan(sampleConfig(), sampleFacts()).transport.channel, "socket");
});

Deno.test("room: memory and disk that are short are refused with found and wanted", () => {
  const plan = makePlan(sampleConfig(), sampleFacts());
  assert.throws(
    () => checkRoom(plan, sampleFacts({ freeMemoryBytes: 2 ** 30 }), { for: "start" }),
    refusal("memory_short", /2 GiB.*1 GiB/),
  );
  assert.throws(
    () => checkRoom(plan, sampleFacts({ freeDiskBytes: 2 ** 20 }), { for: "create" }),
    refusal("disk_full", /2 GiB.*1 MiB/),
  );
  assert.deepEqual(checkRoom(plan, sampleFacts(), { for: "create" }), []);
  const tight = sampleFacts({ freeDiskBytes: 10 * 2 ** 30 });
  assert.match(checkRoom(plan, tight, { for: "create" })[0], /may grow to 20 GiB/);
  assert.deepEqual(checkRoom(plan, tight, { for: "start" }), []);
});
