import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { nearestConfig } from "../../../src/cli/nearest_config.ts";
import type { Context } from "../../../src/cli/verb.ts";

Deno.test("nearestConfig: a machine whose rum.toml is gone is to be adopted, not made anew", async () => {
  const context = { cwd: "/elsewhere", host: { uid: 0, home: "/" } } as Context;
  const machine = { id: "0123abcd", configPath: "/nowhere/at/all/rum.toml" };
  await assert.rejects(
    nearestConfig(context, machine),
    (error) =>
      error instanceof RumError && error.code === "config_not_found" &&
      error.hint === "rum adopt 0123abcd" && error.message.includes(machine.configPath),
  );
});
