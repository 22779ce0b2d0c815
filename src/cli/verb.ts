/**
 * What a verb is: a row in the command tree (`tree.ts`, data only, loaded always) and a module with
 * a `run` (loaded when the verb is called). Help, completions, the man page and the parser all read
 * the row, so that none of them can disagree; and a verb's imports cost only its own callers.
 */
import type { HostEnv, RumPaths } from "../plan/paths.ts";
import type { Output } from "../ui/output.ts";

export interface OptionSpec {
  /** As help shows it: `-d, --detach`, `--timeout <duration>`, `-e, --env <pair>`. */
  readonly flags: string;
  readonly summary: string;
  /** May be given several times; the value is an array. */
  readonly repeatable?: boolean;
  readonly hidden?: boolean;
  /** The attributes of options of the same verb that say the contrary: both are refused. */
  readonly excludes?: readonly string[];
  /** What completes the value: machines, services, ports, files, or fixed words. */
  readonly completes?: "machines" | "services" | "ports" | "files" | readonly string[];
}

export interface VerbSpec {
  readonly name: string;
  readonly aliases?: readonly string[];
  /** One line for `rum --help`. */
  readonly summary: string;
  /** Below the summary in `rum VERB --help`: paragraphs and examples. */
  readonly details?: string;
  /** As help shows them, `<>` for one that must be there: `<src> <dst>`, `[argv...]`. */
  readonly operands?: string;
  readonly operandCompletes?: OptionSpec["completes"];
  readonly options?: readonly OptionSpec[];
  readonly hidden?: boolean;
  /** With -o json it prints its events, one a line, before its document. */
  readonly tellsEvents?: boolean;
  /** Options end at the first operand: the rest belongs to the guest's command. */
  readonly passThrough?: boolean;
  /** All options after the verb are the program's, none is rum's: they are operands. */
  readonly foreignOptions?: boolean;
  /** The exit code is a guest program's: whatever fails before that is 255. */
  readonly guestExit?: boolean;
  /**
   * The verb keeps the time of `--timeout` itself, mostly because its machine must be left to go on.
   * Every other one is called off by it, as by Ctrl+C: what it does is this process's own.
   */
  readonly keepsTime?: boolean;
  readonly verbs?: readonly VerbSpec[];
  readonly load?: () => Promise<VerbModule>;
}

export interface VerbModule {
  /** Returns the exit code; throws RumError for failures. */
  run(context: Context, call: VerbCall): Promise<number>;
}

export interface VerbCall {
  /** The verb's path: `["service", "start"]`. */
  readonly verb: readonly string[];
  readonly operands: readonly string[];
  /** Camel-cased option names → value; absent when not given. */
  readonly options: Readonly<Record<string, unknown>>;
}

/** Everything a verb may know of the world outside: handed in, so that tests can hand in another. */
export interface Context {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly host: HostEnv;
  readonly paths: RumPaths;
  readonly out: Output;
  readonly globals: Globals;
  /** Aborted by the first Ctrl+C or TERM, with a RumError `interrupted`. */
  readonly signal: AbortSignal;
  /** Called at each further one; a verb that knows a harder way down sets it. */
  onSecondInterrupt?: () => void;
  /** stdin and stdout are terminals and asking is allowed. */
  readonly canAsk: boolean;
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
}

export interface Globals {
  readonly config?: string;
  readonly machine?: string;
  readonly verbose: boolean;
  readonly quiet: boolean;
  readonly noInput: boolean;
  readonly timeoutMs?: number;
}
