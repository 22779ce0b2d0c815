/** Starts `qemu_story.ts` in a process of its own, as root or as an ordinary user. */
import assert from "node:assert/strict";
import type { SessionUser } from "./session_user.ts";

const STORY = new URL("./qemu_story.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

export interface StoryPlace {
  readonly uri: string;
  readonly kind: "embed" | "session" | "system";
  /** For the guest's disk; reachable for whoever runs QEMU. */
  readonly folder: string;
  readonly id: string;
  readonly cache: string;
  readonly as?: SessionUser;
}

export type Act = "whole" | "start-and-stay" | "find-again";

export function storyCommand(act: Act, place: StoryPlace): Deno.Command {
  const { uri, kind, folder, id, cache, as } = place;
  const deno = ["run", "--no-check", "--quiet", "-A", "--config", CONFIG, STORY];
  const args = [...deno, act, uri, kind, folder, id, cache];
  const [program, ...prefix] = as?.command(Deno.execPath()) ?? [Deno.execPath()];
  return new Deno.Command(program, {
    args: [...prefix, ...args],
    cwd: "/",
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    env: as?.env,
    clearEnv: as !== undefined,
  });
}

/** Plays an act to its end and fails with everything it said. */
export async function play(act: Act, place: StoryPlace): Promise<void> {
  const { success, stdout, stderr } = await storyCommand(act, place).output();
  const text = new TextDecoder();
  assert.ok(success, `${act} at ${place.uri}: ${text.decode(stdout)}${text.decode(stderr)}`);
}

/** Starts a machine in a process and kills that process without warning. */
export async function startAndKillOwner(place: StoryPlace): Promise<void> {
  const child = storyCommand("start-and-stay", place).spawn();
  const errors = new Response(child.stderr).text();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!said.includes('"started":true')) {
    const { value, done } = await reader.read();
    if (done) assert.fail(`start-and-stay at ${place.uri} ended: ${said}${await errors}`);
    said += value;
  }
  child.kill("SIGKILL");
  await reader.cancel();
  await child.status;
  await errors;
}

export function storyId(): string {
  return crypto.randomUUID().slice(0, 8);
}
