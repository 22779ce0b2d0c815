/** The fault matrix as the tables of docs/reliability.md, between their marks. */
import { FAULT_POINTS } from "../../src/base/fault.ts";
import { type Passed, type Scenario } from "./fault_matrix.ts";

const BEGIN = "<!-- begin: fault matrix, written by tests/process/faults_test.ts with UPDATE=1 -->";
const END = "<!-- end: fault matrix -->";

export function renderMatrix(
  page: string,
  traces: ReadonlyMap<Scenario, readonly Passed[]>,
): string {
  const [head, rest] = page.split(BEGIN);
  const tail = rest?.split(END)[1];
  if (tail === undefined) throw new Error(`The page lacks its marks: ${BEGIN}`);
  const scenarios = [...traces.keys()];
  const lines = [
    "| fault point | when it is passed | passed by |",
    "|---|---|---|",
    ...Object.entries(FAULT_POINTS).map(([point, when]) => {
      const by = scenarios.filter((s) => traces.get(s)!.some((p) => p.point === point));
      const names = by.length === 0 ? "an interrupt in the first boot" : by.map((s) => s.name);
      return `| \`${point}\` | ${when} | ${[names].flat().join(", ")} |`;
    }),
  ];
  return `${head}${BEGIN}\n\n${lines.join("\n")}\n\n${END}${tail}`;
}
