/** The agent, for whoever needs it now: at once when it is there, after a short wait when it should be. */
import { RumError } from "../base/errors.ts";
import type { AgentClient } from "../guest/agent_client.ts";
import type { Engine } from "./engine.ts";

const WAIT_MS = 15_000;

/** @throws {RumError} `not_running` when the machine is off, `agent_unavailable` when it is silent */
export async function agentOf(engine: Engine, signal: AbortSignal): Promise<AgentClient> {
  const { state } = engine.controller.snapshot();
  const client = engine.link.client;
  // A paused guest's link is there and answers nobody.
  if (client !== undefined && state.kind !== "paused") return client;
  switch (state.kind) {
    case "running":
    case "provisioning":
      return await engine.link.session().ready({ timeoutMs: WAIT_MS, signal });
    case "starting":
      // A daemon that was just healed greets a machine that is up: its agent is there in a moment.
      try {
        return await engine.link.session().ready({ timeoutMs: WAIT_MS, signal });
      } catch (cause) {
        signal.throwIfAborted();
        throw new RumError("agent_unavailable", "The machine is still booting", {
          cause,
          hint: "rum wait --for agent",
        });
      }
    case "failed":
      if (state.power === "running") {
        return await engine.link.session().ready({ timeoutMs: WAIT_MS, signal });
      }
      break;
    case "paused":
      throw new RumError("not_running", "The machine is paused", { hint: "rum resume" });
    default:
      break;
  }
  throw new RumError("not_running", `The machine is not running: it is ${state.kind}`, {
    hint: "rum up -d",
  });
}
