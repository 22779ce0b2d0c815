/** An agent that does nothing but supervise, to be killed by a test: `service_agent.ts STATE RUN`. */
import { ServiceRunner } from "../../agent/services/runner.ts";

if (import.meta.main) {
  const [state, run] = Deno.args;
  await ServiceRunner.open({ state, run, root: "", log: (line) => console.log(line) });
  console.log("open");
}
