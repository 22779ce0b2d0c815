import assert from "node:assert/strict";
import fc from "fast-check";
import { machinePaths, rumPaths } from "../../../src/plan/paths.ts";

Deno.test("paths: an ordinary user and root without XDG variables", () => {
  const ann = rumPaths({ uid: 1000, home: "/home/ann" });
  assert.equal(ann.data, "/home/ann/.local/share/rum");
  assert.equal(ann.images, "/home/ann/.cache/rum/images");
  const root = rumPaths({ uid: 0, home: "/root" });
  assert.equal(root.data, "/var/lib/rum");
  assert.equal(root.images, "/var/cache/rum/images");
});

Deno.test("paths: XDG variables win, and relative ones are ignored as the XDG standard says", () => {
  const env = { uid: 0, home: "/root", xdgDataHome: "/d", xdgCacheHome: "relative" };
  assert.equal(rumPaths(env).data, "/d/rum");
  assert.equal(rumPaths(env).cache, "/var/cache/rum");
});

Deno.test("paths: no socket path passes 107 bytes, ours or the hypervisor's, however deep the home", () => {
  const folder = fc.stringMatching(/^(\/[a-zé]{1,30}){1,6}$/);
  fc.assert(fc.property(folder, fc.option(folder), fc.nat(2 ** 32 - 1), (home, runtime, uid) => {
    const paths = rumPaths({ uid, home, ...(runtime === null ? {} : { xdgRuntimeDir: runtime }) });
    const machine = machinePaths(paths, "01234567");
    const deepest =
      `${machine.embedRoot}/lib/qemu/domain-1234567-rum-0123456789abcdef/monitor.sock`;
    for (
      const path of [machine.socket, machine.pendingSocket(4194304), machine.agentSocket, deepest]
    ) {
      assert.ok(new TextEncoder().encode(path).length <= 107, path);
    }
  }));
});

Deno.test("paths: locks lie beside the machines and not in them", () => {
  const paths = rumPaths({ uid: 0, home: "/root" });
  assert.equal(machinePaths(paths, "01234567").lock, "/var/lib/rum/.locks/01234567.lock");
});
