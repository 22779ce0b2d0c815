import assert from "node:assert/strict";
import type { Clock } from "../../../src/base/clock.ts";
import type { HypervisorMachine } from "../../../src/libvirt/hypervisor.ts";
import { takeOne } from "../../../src/daemon/screenshot_task.ts";

/** One black pixel. */
const PNG = Uint8Array.fromBase64(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==",
);

/** Pictures at these times, the last three kept; which are there after each. */
async function kept(...times: readonly string[]): Promise<string[]> {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "rum-shots-" }));
  const machine = { screenshot: () => Promise.resolve({ bytes: PNG }) };
  const after: string[] = [];
  try {
    for (const time of times) {
      await takeOne({ keep: 3, everyMs: 60_000 }, {
        machine: () => machine as unknown as HypervisorMachine,
        defaultFolder: folder,
        clock: { now: () => new Date(`2026-11-29T${time}:00Z`) } as Clock,
      });
      const names = Array.from(Deno.readDirSync(folder), ({ name }) => name.slice(9, 13));
      after.push(names.sort().join(" "));
    }
    return after;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("screenshot task: the last three pictures are kept", async () => {
  assert.deepEqual(
    await kept("09:00", "09:01", "09:02", "09:03"),
    ["0900", "0900 0901", "0900 0901 0902", "0901 0902 0903"],
  );
});

Deno.test("screenshot task: after the clock was set back the new pictures are kept, and the old ones go", async () => {
  assert.deepEqual(
    (await kept("09:00", "09:01", "09:02", "08:00", "08:01", "08:02", "08:03")).slice(3),
    ["0800 0901 0902", "0800 0801 0902", "0800 0801 0802", "0801 0802 0803"],
  );
});
