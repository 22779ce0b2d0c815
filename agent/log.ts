/**
 * The agent's own log: a file of at most two halves, and stderr (the journal). Secrets never reach
 * it, because callers pass sentences and never parameters.
 */
const HALF = 512 * 1024;

export class AgentLog {
  readonly #path: string;
  readonly #echo: boolean;
  #size: number;

  private constructor(path: string, size: number, echo: boolean) {
    this.#path = path;
    this.#size = size;
    this.#echo = echo;
  }

  /** `echo`: to stderr as well. */
  static async open(folder: string, options: { echo: boolean }): Promise<AgentLog> {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
    const path = `${folder}/agent.log`;
    const size = await Deno.stat(path).then((s) => s.size, () => 0);
    return new AgentLog(path, size, options.echo);
  }

  /** Never throws: a full disk must not take the agent down. */
  write(sentence: string): void {
    const line = new TextEncoder().encode(`${new Date().toISOString()} ${sentence}\n`);
    try {
      if (this.#echo) Deno.stderr.writeSync(line);
    } catch {
      // The journal may be gone; the file is left.
    }
    try {
      if (this.#size + line.length > HALF) {
        Deno.renameSync(this.#path, `${this.#path}.1`);
        this.#size = 0;
      }
      Deno.writeFileSync(this.#path, line, { append: true, mode: 0o600 });
      this.#size += line.length;
    } catch {
      // Nowhere left to say it.
    }
  }

  /** The last `bytes` of it. */
  async tail(bytes: number): Promise<string> {
    const parts = await Promise.all(
      [`${this.#path}.1`, this.#path].map((p) => Deno.readTextFile(p).catch(() => "")),
    );
    return parts.join("").slice(-bytes);
  }
}
