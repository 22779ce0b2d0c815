import assert from "node:assert/strict";
import fc from "fast-check";
import { metaData, networkConfig, userData } from "../../../src/cloudinit/documents.ts";
import { makePlan } from "../../../src/plan/plan.ts";
import { richConfig, richFacts, sampleConfig, sampleFacts } from "../plan/sample.ts";
import { cloudInit } from "./reader.ts";

const rich = makePlan(richConfig(), richFacts());
const user = { ...rich.user, authorizedKeys: rich.ssh.authorizedKeys };

Deno.test("user-data, meta-data and network-config of a rich machine", async (t) => {
  await t.assertSnapshot(await userData(user));
  await t.assertSnapshot(await metaData(rich));
  await t.assertSnapshot(await networkConfig(rich.nics));
});

Deno.test("network-config is not there at all when there are no cards", async () => {
  assert.equal(await networkConfig([]), undefined);
});

Deno.test("cloud-init works before the network only in images that are known to bear it", async () => {
  const early = async (base: string) =>
    /^dsmode: "local"$/m.test(await metaData({ id: "12345678", hostname: "h", image: { base } }));
  assert.equal(await early("debian-12"), true);
  assert.equal(await early("debian-bookworm"), true);
  // Fedora mounts /home after cloud-init's first stage has begun.
  for (const base of ["fedora-43", "/disk.qcow2", "https://example.org/debian-12"]) {
    assert.equal(await early(base), false, base);
  }
});

Deno.test("user-data holds no password, whatever the user", async () => {
  assert.doesNotMatch(await userData(user), /plain_text_passwd|hashed_passwd|chpasswd/);
});

/** What YAML 1.1 reads as something else than text unless it is quoted. */
const TRAPS = [
  ..."yes no on off y n null ~ true 1:20 0777 0x1f 1_000 1e3 .5 .inf 2001-01-01 = <<".split(" "),
  "- a",
  "a: b",
  "#",
  " a ",
  "é\u2028\u{1f600}",
  "'\"\\",
  "{a}",
  "[a]",
  "%a",
  "@a",
  "`a",
  "!a",
  "&a",
  "*a",
  "|",
  ">",
  "",
];

Deno.test("cloud-init as the reader of what is written for it", async (t) => {
  const reader = await cloudInit();
  if (typeof reader === "string") {
    return await t.step({ name: `skipped: ${reader}`, ignore: true, fn: () => {} }).then(() => {});
  }
  await using ci = reader;

  await t.step("cloud-init schema accepts user-data, rich and poor", async () => {
    assert.equal(await ci.schema(await userData(user)), undefined);
    const poor = makePlan(sampleConfig(), sampleFacts());
    const bare = await userData({ ...poor.user, authorizedKeys: [] });
    assert.equal(await ci.schema(bare), undefined);
    assert.match(await ci.schema("#cloud-config\nbootcmd: 7\n") ?? "", /bootcmd/);
  });

  await t.step("YAML 1.1 gives every string back as it was", async () => {
    const strings = fc.sample(fc.string({ unit: "grapheme" }), { numRuns: 300, seed: 7 })
      .filter((s) => !/[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]/.test(s));
    const all = [...TRAPS, ...strings];
    const text = await userData({ ...user, authorizedKeys: all });
    const code = "import sys,yaml,json; print(json.dumps(yaml.safe_load(sys.stdin.read())))";
    const read = JSON.parse(await ci.python(code, text));
    assert.deepEqual(read.users[0].ssh_authorized_keys, all);
    const meta = JSON.parse(
      await ci.python(
        code,
        await metaData({ id: "12345678", hostname: "0777", image: { base: "/disk.qcow2" } }),
      ),
    );
    assert.deepEqual(meta, { "instance-id": "rum-12345678", "local-hostname": "0777" });
  });

  await t.step("cloud-init understands network-config: every card by its address", async () => {
    const code = `
import sys, yaml, json
from cloudinit.net.network_state import parse_net_config_data
state = parse_net_config_data(yaml.safe_load(sys.stdin.read()))
print(json.dumps([[i["mac_address"], [s["type"] for s in i["subnets"]]] for i in state.iter_interfaces()]))
`;
    const read = JSON.parse(await ci.python(code, await networkConfig(rich.nics) ?? ""));
    assert.deepEqual(read, rich.nics.map((nic) => [nic.mac, ["dhcp4"]]));
  });
});
