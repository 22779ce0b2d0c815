/** rum's mark as libvirt hands it back: quotes, prefix and order are libvirt's choice. */
import assert from "node:assert/strict";
import { machineIdOfMetadata } from "../../../src/libvirt/operations/owned.ts";

Deno.test("machineIdOfMetadata reads the id in every spelling, and nothing else", () => {
  const rows: [string, string | undefined][] = [
    [`<machine id="0a1b2c3d"/>`, "0a1b2c3d"],
    [`<rum:machine xmlns:rum='urn:rum:machine:1' version='1' id='0a1b2c3d'>`, "0a1b2c3d"],
    [`  <machine version="1" id="0a1b2c3d"><config>/x</config></machine>`, "0a1b2c3d"],
    [`<machine id="0A1B2C3D"/>`, undefined],
    [`<machine id="0a1b2c3"/>`, undefined],
    [`<machine xid="0a1b2c3d"/>`, undefined],
    [`<machines id="0a1b2c3d"/>`, undefined],
    [`<other/><machine id="0a1b2c3d"/>`, undefined],
    ["", undefined],
  ];
  for (const [element, id] of rows) assert.equal(machineIdOfMetadata(element), id, element);
});
