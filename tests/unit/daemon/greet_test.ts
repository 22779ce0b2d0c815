/** A guest whose agent never comes: how long that is waited for, and what is said then. */
import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { createGuestPort } from "../../../src/daemon/guest_port.ts";
import { TurnedClock } from "../../support/turned_clock.ts";

function bed(lines: readonly string[]) {
  const clock = new TurnedClock();
  const listeners = new Set<(bytes: Uint8Array) => void>();
  const came = Promise.withResolvers<never>();
  const port = createGuestPort({
    session: () => ({ ready: () => came.promise }),
    console: {
      tail: () => Promise.resolve(lines),
      listen(listener: (bytes: Uint8Array) => void) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    },
    clock,
  } as never);
  const greeting = port.greet({
    operation: "o",
    signal: new AbortController().signal,
    deadlineMs: 600_000,
  });
  greeting.catch(() => {});
  return {
    clock,
    listeners,
    greeting,
    print: (text: string) => listeners.forEach((each) => each(new TextEncoder().encode(text))),
    giveUp: (error: RumError) => came.reject(error),
  };
}

const lost = new RumError("agent_unavailable", "Waiting for the guest agent took 600 s");

Deno.test("no agent by the deadline: the console's last lines are in the error", async () => {
  const { greeting, giveUp, listeners } = bed(["Kernel panic", "no init found"]);
  giveUp(lost);
  await assert.rejects(greeting, {
    code: "agent_unavailable",
    message: `${lost.message}; the console's last lines:\n  Kernel panic\n  no init found`,
    hint: "rum log --source boot",
  });
  assert.equal(listeners.size, 0);
});

Deno.test("a console that printed nothing is said to have printed nothing", async () => {
  const { greeting, giveUp } = bed([]);
  giveUp(lost);
  await assert.rejects(greeting, { message: `${lost.message}; the console printed nothing` });
});

Deno.test("three minutes at a login prompt are enough to know that no agent comes", async () => {
  const { clock, greeting, print, listeners } = bed(["debian login: "]);
  let ended = false;
  greeting.catch(() => ended = true);
  print("Debian GNU/Linux 12 debian ttyS0\r\n\r\n");
  await clock.turn(300_000);
  print("debian login: ");
  await clock.turn(179_000);
  assert.equal(ended, false);
  await clock.turn(1_000);
  await assert.rejects(greeting, {
    code: "agent_unavailable",
    message: /at its login prompt for 180 s .* cloud-init and systemd.*\n {2}debian login: $/s,
  });
  assert.equal(listeners.size, 0);
});
