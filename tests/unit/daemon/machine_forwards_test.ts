import assert from "node:assert/strict";
import type { PortConfig } from "../../../src/config/types.ts";
import { createMachineForwards } from "../../../src/daemon/machine_forwards.ts";
import type { EventBody } from "../../../src/protocol/machine_events.ts";
import { rumPaths } from "../../../src/plan/paths.ts";
import "../../support/libc_opened.ts";
import { withFolder } from "../../support/folder.ts";

const port = (host: number): PortConfig => ({
  bind: "127.0.0.1",
  host,
  guest: 80,
  proto: "tcp",
  onConflict: "fail",
});

function isFree(host: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port: host }).close();
    return true;
  } catch (error) {
    assert.ok(error instanceof Deno.errors.AddrInUse);
    return false;
  }
}

Deno.test("A port reserved for a boot that does not come is let go; one of a machine with power is not", async () => {
  await withFolder(async (folder) => {
    const events: EventBody[] = [];
    await using machine = createMachineForwards({
      rum: rumPaths({ uid: 1000, home: folder }),
      paths: { forwards: `${folder}/forwards.json` },
      client: () => undefined,
      emit: (event) => void events.push(event),
      log: (text) => assert.fail(text),
    });
    await machine.reserve({ ports: [port(0)] });
    const { host } = machine.forwards.list()[0];
    assert.equal(isFree(host), false);
    await machine.noBoot();
    assert.equal(isFree(host), true);
    assert.deepEqual(machine.forwards.list(), []);
    assert.deepEqual(events.map((e) => e.kind === "forward" && e.state), ["listening", "closed"]);

    await machine.reserve({ ports: [port(host)] });
    machine.powerOn();
    await machine.noBoot();
    assert.equal(isFree(host), false);
    await machine.powerOff();
    assert.equal(isFree(host), true);
  });
});

Deno.test("Reserved anew while the ports of a boot that did not come are let go: they stay, and are remembered", async () => {
  await withFolder(async (folder) => {
    const paths = { forwards: `${folder}/forwards.json` };
    await using machine = createMachineForwards({
      ...{ rum: rumPaths({ uid: 1000, home: folder }), paths, client: () => undefined },
      ...{ emit: () => {}, log: (text: string) => assert.fail(text) },
    });
    await machine.reserve({ ports: [port(0)] });
    const { host } = machine.forwards.list()[0];
    await Promise.all([machine.noBoot(), machine.reserve({ ports: [port(host)] })]);
    assert.equal(isFree(host), false);
    assert.equal(JSON.parse(await Deno.readTextFile(paths.forwards)).forwards[0].host, host);
  });
});
