/** What `status` says of a guest's agent while it is still to come, and of addresses that come after it. */
import assert from "node:assert/strict";
import { fakeWorld, until } from "../support/fake_guest.ts";

const GUEST = [
  new URL("../support/fake_guest.sh", import.meta.url).pathname,
  Deno.execPath(),
  new URL("../../agent/main.ts", import.meta.url).pathname,
];

/** A guest whose agent comes late, and whose network comes when the test says so. */
const LATE = `sleep 2
(while [ ! -e "$NETWORK" ]; do sleep 0.1; done; ip address add 10.0.2.15/24 dev lo) &
exec "$0" "$@"`;

Deno.test("status: a booting guest's agent is waited for, not lost; its addresses are told once it has them", async () => {
  await using world = await fakeWorld({ prefix: "rum-status-" });
  const root = Deno.uid() === 0 ? [] : ["-r"];
  const network = `${world.folder}/network`;
  const late = ["env", `NETWORK=${network}`, "sh", "-c", LATE, ...GUEST];
  await world.behave({ boot: ["unshare", ...root, "--net", ...late] });
  const up = world.ok(["up", "-d"]);
  let ended = false;
  up.finally(() => ended = true).catch(() => {});
  const words = new Set<string>();
  await until("it is up", async () => {
    const { as_recorded, agent } = await world.status();
    if (!as_recorded && agent !== undefined) words.add(agent.state);
    return ended;
  });
  await up;
  assert.ok(words.has("waiting"), [...words].join());
  assert.ok(!words.has("lost"), [...words].join());
  assert.deepEqual((await world.status()).agent.addresses, []);
  await Deno.writeTextFile(network, "");
  await until("it has its address", async () => {
    const { agent } = await world.status();
    return agent.addresses.some((each: { address: string }) => each.address === "10.0.2.15");
  }, 30_000);
});
