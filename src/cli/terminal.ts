/** The user's terminal as the observers want it. */
import type { Terminal } from "../ui/observer.ts";

export function terminalOf(): Terminal {
  return {
    columns() {
      try {
        return Deno.consoleSize().columns;
      } catch {
        return 80;
      }
    },
    write(text) {
      const bytes = new TextEncoder().encode(text);
      for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
    },
  };
}
