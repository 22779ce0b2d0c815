/** Which scripts are due, in which order: a pure function of the marks (SPEC section 7). */
import type { GuestScript, ProvisionParams } from "../../src/protocol/agent.ts";
import type { BootMark, Marks } from "./marks.ts";

export interface Schedule {
  readonly run: readonly GuestScript[];
  readonly skipped: readonly string[];
}

export function schedule(
  scripts: readonly GuestScript[],
  run: ProvisionParams["run"],
  marks: Marks,
  boot: Readonly<Record<string, BootMark>>,
): Schedule {
  const isDue = (script: GuestScript): boolean => {
    if (run !== "due" && run !== "retry") return run === "all" || script.runOn === run;
    if (script.runOn === "boot") {
      const mark = boot[script.name];
      return mark === undefined || (run === "retry" && mark.state !== "passed");
    }
    // System scripts belong to the first boot; a resumed one goes on after what passed unchanged.
    return !marks.sentinel && marks.done[script.name] !== script.hash;
  };
  const ordered = [...scripts].sort((a, b) =>
    a.order - b.order || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  );
  return {
    run: ordered.filter(isDue),
    skipped: ordered.filter((script) => !isDue(script)).map((script) => script.name),
  };
}
