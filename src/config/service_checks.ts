/** `[services]` as a whole: order that can be kept, one health check each. */
import { nearest } from "../base/typo.ts";
import { type Mistake, quoted, tableName } from "./diagnostics.ts";
import type { Tree } from "./syntax.ts";
import { namedTablesAt, own, tableAt, textsOf } from "./tree_access.ts";

export function checkServices(tree: Tree): Mistake[] {
  return [...checkAfter(tree), ...checkHealth(tree)];
}

function checkAfter(tree: Tree): Mistake[] {
  const mistakes: Mistake[] = [];
  const services = namedTablesAt(tree, "services");
  const names = services.map(({ name }) => name);
  const after = new Map<string, { text: string; index: number }[]>();
  for (const { name, table, path } of services) {
    const wanted = textsOf(table, "after");
    after.set(name, wanted.filter(({ text }) => names.includes(text)));
    for (const { text, index } of wanted) {
      if (names.includes(text)) continue;
      mistakes.push({
        code: "unknown_name",
        path: [...path, "after", index],
        at: "value",
        message: `Service ${quoted(text)}, which ${quoted(name)} is to start after, is not defined`,
        suggestion: nearest(text, names.filter((other) => other !== name)),
      });
    }
  }
  return [...mistakes, ...cycles(after)];
}

/** One mistake per circle, at the `after` that closes it. Without recursion: names are many. */
function cycles(after: ReadonlyMap<string, { text: string; index: number }[]>): Mistake[] {
  const mistakes: Mistake[] = [];
  const done = new Set<string>();
  for (const start of after.keys()) {
    const trail: { name: string; next: number }[] = done.has(start)
      ? []
      : [{ name: start, next: 0 }];
    while (trail.length > 0) {
      const top = trail[trail.length - 1];
      const edge = after.get(top.name)![top.next++];
      if (edge === undefined) {
        done.add(top.name);
        trail.pop();
        continue;
      }
      const closes = trail.findIndex(({ name }) => name === edge.text);
      if (closes >= 0) {
        const circle = [...trail.slice(closes).map(({ name }) => name), edge.text];
        mistakes.push({
          code: "conflict",
          path: ["services", top.name, "after", edge.index],
          at: "value",
          message: circle.length === 2
            ? `Service ${quoted(top.name)} is to start after itself`
            : `Services wait for each other: ${circle.join(" after ")}`,
        });
      } else if (!done.has(edge.text)) trail.push({ name: edge.text, next: 0 });
    }
  }
  return mistakes;
}

function checkHealth(tree: Tree): Mistake[] {
  return namedTablesAt(tree, "services").flatMap(({ table, path }): Mistake[] => {
    const health = tableAt(table, "health");
    if (health === undefined) return [];
    const kinds = ["http", "tcp", "exec"].filter((kind) => own(health, kind) !== undefined);
    if (kinds.length === 1) return [];
    const at = [...path, "health"];
    return [{
      code: kinds.length === 0 ? "missing_key" : "conflict",
      path: at,
      at: "key",
      message: `Table ${tableName(at)} has ${
        kinds.length === 0 ? "no check" : `${kinds.length} checks, ${kinds.join(" and ")}`
      }; wanted exactly one of http, tcp, exec`,
    }];
  });
}
