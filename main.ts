/** argv → run → exit code. Everything else is in `src/cli/run.ts`. */
import { runCommandLine } from "./src/cli/run.ts";

if (import.meta.main) Deno.exit(await runCommandLine(Deno.args));
