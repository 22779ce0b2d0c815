/**
 * The machine of the soak, and the ways it is disturbed: kill -9 of the daemon, of the agent, of both,
 * a reboot from inside. A disturbance lasts until the machine is ready again; work that touched it in
 * time may fail by name, all other work may not.
 */
import { machineToml } from "../support/machine.ts";
import { type Result, type RunOptions, type Sandbox, sandbox } from "../support/rum.ts";
import { Hung, Refused, type Tally } from "./tally.ts";

export const SERVICES = ["echo", "ticker", "worker"] as const;
/** Where the guest's side of the sync folder is. */
export const TREE = "/srv/tree";
const CALL_MS = 240_000;
const HEAL_MS = 420_000;

/** Echoes TCP; each connection in a process of its own, so that one left open is one to be found. */
const ECHO = `use IO::Socket::INET; $SIG{CHLD} = "IGNORE"; ` +
  `my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7007, Listen => 128, ` +
  `ReuseAddr => 1) or die; while (1) { my $c = $s->accept or next; if (!fork) { ` +
  `while (sysread($c, my $d, 65536)) { my $o = 0; while ($o < length $d) { ` +
  `my $n = syswrite($c, $d, length($d) - $o, $o); exit if !defined $n; $o += $n } } exit } close $c }`;

const TOML = `[[ports]]
host = 0
guest = 7007

[[mounts]]
source = "tree"
target = "${TREE}"
type = "sync"

[services.echo]
command = ["perl", "-e", ${JSON.stringify(ECHO)}]
env = { SOAK_SERVICE = "echo" }
restart = { policy = "always", max = 1000, backoff = "fixed" }

[services.ticker]
command = ["sh", "-c", "while :; do date; sleep 5; done"]
env = { SOAK_SERVICE = "ticker" }
restart = { policy = "always", max = 1000, backoff = "fixed" }

[services.worker]
command = ["sleep", "1000000"]
env = { SOAK_SERVICE = "worker" }
instances = 2
after = ["ticker"]
# More than the default of five, and no growing pauses: the hands may well kill one so often within a minute.
restart = { policy = "always", max = 1000, backoff = "fixed" }
`;

/** Processes that want to run, per processor, above which a guest may well not answer for 10 s. */
const CROWDED = 2;

export type Disturbance = "daemon" | "agent" | "both" | "reboot";

export class Bed implements AsyncDisposable {
  /** Kept by whoever asked last; the pid to kill. */
  daemon = 0;
  #disturbedSince: number | undefined;
  #silentSeen = 0;
  #id = "";
  #lastHealed = -1;

  private constructor(readonly box: Sandbox, readonly tally: Tally) {}

  static async up(tally: Tally): Promise<Bed> {
    const box = await sandbox({ prefix: "rum-soak-" });
    const bed = new Bed(box, tally);
    bed.#endOnInterrupt();
    try {
      await Deno.mkdir(`${box.project}/tree`);
      await Deno.writeTextFile(`${box.project}/tree/first`, "first\n");
      await Deno.mkdir(`${box.home}/files`);
      await box.config(await machineToml({ name: "soak", toml: TOML }));
      await box.ok(["up", "-d"], { timeoutMs: 600_000 });
      await box.ok(["exec", "mkdir", "-p", "/srv/soak"]);
      await bed.#look();
      return bed;
    } catch (thrown) {
      await bed[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  /** One command, by -o json. @throws {Refused} by the error's code; {Hung} when it does not end */
  async rum(args: readonly string[], options: RunOptions = {}): Promise<Result> {
    const cut = args.indexOf("--");
    const words = cut < 0
      ? [...args, "-o", "json"]
      : [...args.slice(0, cut), "-o", "json", ...args.slice(cut)];
    let result: Result;
    try {
      result = await this.box.rum(words, { timeoutMs: CALL_MS, ...options });
    } catch (thrown) {
      throw new Hung(thrown instanceof Error ? thrown.message : String(thrown));
    }
    if (result.code !== 0 && /"type":"error"/.test(result.stderr)) {
      const { code, message } = result.error;
      throw new Refused(code, `rum ${args.slice(0, 3).join(" ")}: ${message}`);
    }
    return result;
  }

  /** What a program in the guest printed. RUM_SOAK marks what belongs to the soak. */
  async guest(
    command: readonly string[],
    stdin?: Uint8Array,
  ): Promise<{ code: number; bytes: Uint8Array; text: string }> {
    const { json } = await this.rum(
      ["exec", "-e", "RUM_SOAK=1", "--", ...command],
      stdin === undefined ? {} : { stdin },
    );
    const bytes = json.encoding === "base64"
      ? Uint8Array.fromBase64(json.stdout)
      : new TextEncoder().encode(json.stdout);
    return { code: json.code, bytes, text: new TextDecoder().decode(bytes) };
  }

  get now(): number {
    return performance.now();
  }

  /** Whether anything was being killed or healed since then. */
  disturbed(since: number): boolean {
    return this.#disturbedSince !== undefined || this.#lastHealed >= since;
  }

  /**
   * Whether the agent was given up as silent since then. On a host with more work than processors that
   * is what is promised (10 s, by name) and is counted; on one that has time for it, it is a fault.
   */
  async silent(sinceWall: number): Promise<boolean> {
    const events = `${this.box.dataFolder}/${this.#id}/events.jsonl`;
    const lines = (await Deno.readTextFile(events)).split("\n");
    let within = false;
    for (const line of lines) {
      if (!line.includes("has been silent")) continue;
      const { seq, at } = JSON.parse(line);
      within ||= Date.parse(at) >= sinceWall;
      if (seq <= this.#silentSeen) continue;
      this.#silentSeen = seq;
      this.tally.silences++;
      const [load] = Deno.loadavg();
      if (load < CROWDED * navigator.hardwareConcurrency) {
        this.tally.fault(`the agent was silent for 10 s at a load of ${load.toFixed(1)}`);
      }
    }
    return within;
  }

  async disturb(how: Disturbance): Promise<void> {
    const begun = this.now;
    this.#disturbedSince = begun;
    this.tally.disturbances.set(how, (this.tally.disturbances.get(how) ?? 0) + 1);
    try {
      const boot = how === "reboot" ? await this.#boot() : undefined;
      if (how === "agent" || how === "both") await this.#killAgent();
      if (how === "daemon" || how === "both") this.#killDaemon();
      if (how === "reboot") await this.guest(["systemctl", "reboot"]).catch(onlyRefused);
      await this.heal(boot);
      this.tally.healedMs.push(this.now - begun);
    } catch (thrown) {
      this.tally.failed(`heal after ${how}`, thrown, false);
    } finally {
      this.#disturbedSince = undefined;
      this.#lastHealed = this.now;
    }
  }

  /** Until the machine is ready (in another boot than that one). */
  async heal(before?: string): Promise<void> {
    const end = this.now + HEAL_MS;
    let last = "nothing was asked yet";
    while (this.now < end) {
      try {
        const boot = await this.#boot();
        if (boot !== before) {
          await this.rum(["wait", "--for", "ready", "--timeout", "2m"]);
          return await this.#look();
        }
        last = "it is the boot of before";
      } catch (thrown) {
        if (!(thrown instanceof Refused)) throw thrown;
        last = thrown.message;
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
    throw new Hung(`Not ready ${HEAL_MS / 1000} s after it was disturbed; last: ${last}`);
  }

  // deno-lint-ignore no-explicit-any -- the document as it is published
  async status(): Promise<any> {
    return (await this.rum(["status"])).json;
  }

  async #look(): Promise<void> {
    const { id, daemon } = await this.status();
    this.#id = id;
    this.daemon = daemon.pid;
  }

  async #boot(): Promise<string> {
    return (await this.guest(["cat", "/proc/sys/kernel/random/boot_id"])).text;
  }

  async #killAgent(): Promise<void> {
    const kill = "kill -9 $(systemctl show -p MainPID --value rum-agent)";
    await this.guest(["sh", "-c", kill]).catch(onlyRefused);
  }

  #killDaemon(): void {
    try {
      Deno.kill(this.daemon, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      this.tally.fault(`the daemon ${this.daemon} was gone before it was killed`);
    }
  }

  /** What was begun is nobody's result then, but its machine must not stay. */
  #endOnInterrupt(): void {
    let interrupted = false;
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      Deno.addSignalListener(signal, () => {
        if (interrupted) Deno.exit(130);
        interrupted = true;
        this.tally.over = true;
        console.log(`interrupted: removing the machine; once more leaves ${this.box.home}`);
        void this[Symbol.asyncDispose]().finally(() => Deno.exit(130));
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.box[Symbol.asyncDispose]();
  }
}

/** What ends its own messenger answers with an error; which one is counted elsewhere. */
function onlyRefused(thrown: unknown): void {
  if (!(thrown instanceof Refused)) throw thrown;
}
