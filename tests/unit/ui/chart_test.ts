import assert from "node:assert/strict";
import { chartLine, sparkline } from "../../../src/ui/chart.ts";

Deno.test("sparkline: heights by share of the top, something is never drawn as nothing", () => {
  assert.equal(sparkline([0, 1, 50, 100, 200], 10, 100), " ▁▄██");
  assert.equal(sparkline([], 10, 100), "");
  assert.equal(sparkline([0, 0], 10, 0), "  ");
});

Deno.test("sparkline: more values than columns are averaged, in order", () => {
  const values = Array.from({ length: 100 }, (_, i) => i);
  assert.equal(sparkline(values, 5, 100), "▁▂▄▆▇");
});

Deno.test("chartLine: the newest on the right, with what it is and was at most", () => {
  const options = { columns: 4, show: (n: number) => `${n} %`, top: 100 };
  assert.equal(chartLine("cpu", [100, 50], options), "cpu │  █▄│ 50 %, at most 100 %");
  assert.equal(chartLine("cpu", [], options), "cpu │    │ not counted");
});
