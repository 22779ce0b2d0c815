/**
 * rum-agent: the program inside the guest. It listens on every link that the machine has, serves the
 * host's calls, and runs this boot's scripts by itself when no host comes. Its systemd unit restarts
 * it when it dies; a host with a newer one replaces it in place.
 */
import { VERSION } from "../src/base/version.ts";
import { type Agent, createAgent } from "./agent.ts";
import { keepLean } from "./give_back.ts";
import { serveLinks } from "./link.ts";
import { AGENT_USAGE, type AgentOptions, parseAgentOptions } from "./options.ts";
import { keepOwnProgram, replaceProcess } from "./program.ts";

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--version")) {
    console.log(`rum-agent ${VERSION}`);
    return 0;
  }
  if (args.includes("--help")) {
    console.log(AGENT_USAGE);
    return 0;
  }
  let options: AgentOptions;
  try {
    options = parseAgentOptions(args);
  } catch (error) {
    console.error(`rum-agent: ${error instanceof Error ? error.message : error}`);
    return 2;
  }
  Deno.umask(0o022);
  return await run(options);
}

async function run(options: AgentOptions): Promise<number> {
  const stop = new AbortController();
  const agent: Agent = await createAgent(options, {
    echoLog: true,
    restart: (reason) => stop.abort(new Restart(reason)),
  });
  const { context } = agent;
  const { log } = context;
  // A defect in one call must not end every service and script of the guest.
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    log.write(`defect: ${event.reason?.stack ?? event.reason}`);
  });
  for (const name of ["SIGTERM", "SIGINT"] as const) {
    Deno.addSignalListener(name, () => stop.abort(new Error(name)));
  }
  log.write(`rum-agent ${VERSION} (${context.facts.digest}), boot ${context.facts.bootId}`);

  const background = (work: Promise<unknown>, what: string) =>
    work.catch((error) => log.write(`${what}: ${error instanceof Error ? error.message : error}`));
  background(agent.boot(), "this boot's own work");
  background(
    context.host.seen.then(() =>
      keepOwnProgram(options, context.facts.digest, { signal: stop.signal })
    ),
    "keeping the program",
  );

  void keepLean({ signal: stop.signal });
  const links = serveLinks({
    link: options.link,
    serve: (mux) => background(agent.serve(mux), "a link"),
    log: (line) => log.write(line),
    signal: stop.signal,
  });
  const stopped = new Promise<void>((resolve) =>
    stop.signal.addEventListener("abort", () => resolve(), { once: true })
  );
  try {
    await Promise.race([links, stopped]);
  } catch (error) {
    log.write(`no link: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
  const reason: unknown = stop.signal.reason;
  log.write(`ending: ${reason instanceof Error ? reason.message : "every link ended"}`);
  await context.execs.endAll();
  await context.services.close();
  // Listeners close behind the signal; a port that waits for a host ends only with the process.
  await Promise.race([links.catch(() => {}), new Promise((done) => setTimeout(done, CLOSING_MS))]);
  if (reason instanceof Restart) replaceProcess(options);
  return 0;
}

const CLOSING_MS = 500;

class Restart extends Error {}

if (import.meta.main) Deno.exit(await main(Deno.args));
