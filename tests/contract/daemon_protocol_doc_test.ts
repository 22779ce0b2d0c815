/** docs/protocol.md is true: its limits are the code's, and its examples are run with netcat. */
import assert from "node:assert/strict";
import { DAEMON_LIMITS } from "../../src/protocol/daemon.ts";
import { CHUNK_BYTES, RPC_LIMITS } from "../../src/wire/rpc_types.ts";
import { FRAME } from "../../src/wire/frames.ts";
import { DaemonRig, daemonTest } from "../support/daemon_rig.ts";

const PAGE = new URL("../../docs/protocol.md", import.meta.url);

interface Example {
  readonly command: string;
  readonly answer: string;
}

function examplesOf(page: string): Example[] {
  const examples: Example[] = [];
  for (const [, block] of page.matchAll(/```console\n(.*?)```/gs)) {
    for (const part of block.split(/^\$ /m).slice(1)) {
      const [command, ...answer] = part.trimEnd().split("\n");
      examples.push({ command, answer: answer.join("\n") });
    }
  }
  return examples;
}

/** `…` stands for anything. */
function matches(answer: string, wanted: string): boolean {
  const pattern = wanted.split("…").map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${pattern.join("[^]*")}$`).test(answer);
}

daemonTest("the examples of docs/protocol.md answer as they say, through nc -U", async () => {
  const examples = examplesOf(await Deno.readTextFile(PAGE));
  assert.ok(examples.length >= 7, `only ${examples.length} examples found`);
  await using rig = new DaemonRig();
  await (await rig.ensure()).close();
  for (const { command, answer } of examples) {
    const { stdout } = await new Deno.Command("sh", {
      args: ["-c", command],
      cwd: rig.paths.socketFolder,
      stdin: "null",
    }).output();
    const got = new TextDecoder().decode(stdout).trimEnd();
    assert.ok(matches(got, answer), `${command}\nanswered: ${got}\nthe page says: ${answer}`);
  }
});

Deno.test("the limits of docs/protocol.md are those of the code", async () => {
  const page = await Deno.readTextFile(PAGE);
  const kib = 1024;
  for (
    const row of [
      `| a frame | ${RPC_LIMITS.maxFrame / kib / kib} MiB |`,
      `| a request | ${RPC_LIMITS.maxRequest / kib / kib} MiB |`,
      `| the hello | ${DAEMON_LIMITS.helloBytes / kib} KiB, within ${
        DAEMON_LIMITS.helloMs / 1000
      } s |`,
      `| nesting | ${FRAME.maxDepth} levels,`,
      `| bulk bytes | ${CHUNK_BYTES / kib} KiB a chunk`,
      `| input under way | ${RPC_LIMITS.inputWindow / kib} KiB a call |`,
      `| calls under way | ${RPC_LIMITS.maxCalls} a connection |`,
      `| connections before their hello | ${DAEMON_LIMITS.waiting} |`,
      `| connections after it | ${DAEMON_LIMITS.established}, and ${DAEMON_LIMITS.lineReserve} more`,
    ]
  ) assert.ok(page.includes(row), `docs/protocol.md lacks "${row}"`);
});
