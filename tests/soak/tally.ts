/**
 * What was done and what came of it. An error is expected only while something was being killed, and
 * only by a name that says so; everything else that is not a success makes the soak fail.
 */
/** What commands may say while daemon, agent or guest are gone for a moment. */
const WHILE_KILLED: ReadonlySet<string> = new Set([
  "agent_restarted",
  "agent_unavailable",
  "daemon_unreachable",
  "daemon_failed",
  "shutting_down",
  "connection_lost",
]);

/** A command that failed by name. */
export class Refused extends Error {
  override readonly name = "Refused";
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

/** Bytes that are not the ones that were sent. Never expected. */
export class Lost extends Error {
  override readonly name = "Lost";
}

/** Something did not end within a generous time. Never expected. */
export class Hung extends Error {
  override readonly name = "Hung";
}

interface Row {
  done: number;
  readonly expected: Map<string, number>;
  unexpected: number;
}

export class Tally {
  readonly rows = new Map<string, Row>();
  readonly faults: string[] = [];
  readonly disturbances = new Map<string, number>();
  /** Of each disturbance: until everything answered again. */
  readonly healedMs: number[] = [];
  bytes = 0;
  /** How often the agent did not answer for 10 s though nothing had been killed. */
  silences = 0;
  /** Interrupted: what fails from now on fails because of that. */
  over = false;

  did(work: string): void {
    this.#row(work).done++;
  }

  failed(work: string, thrown: unknown, disturbed: boolean): void {
    const row = this.#row(work);
    if (disturbed && thrown instanceof Refused && WHILE_KILLED.has(thrown.code)) {
      row.expected.set(thrown.code, (row.expected.get(thrown.code) ?? 0) + 1);
      return;
    }
    row.unexpected++;
    this.fault(`${work}: ${told(thrown)}${disturbed ? " (while something was killed)" : ""}`);
  }

  fault(text: string): void {
    if (this.over) return;
    const line = `${new Date().toISOString().slice(11, 19)} ${text}`;
    this.faults.push(line);
    console.log(`FAULT ${line}`);
  }

  #row(work: string): Row {
    let row = this.rows.get(work);
    if (row === undefined) {
      this.rows.set(work, row = { done: 0, expected: new Map(), unexpected: 0 });
    }
    return row;
  }
}

function told(thrown: unknown): string {
  if (thrown instanceof Refused) return `${thrown.code}: ${thrown.message}`;
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
}
