import assert from "node:assert/strict";
import { completionsFor, type LiveWords } from "../../../src/cli/complete.ts";

const LIVE: LiveWords = {
  machines: () => Promise.resolve(["web", "worker", "db"]),
  services: () => Promise.resolve(["api"]),
  ports: () => Promise.resolve(["8080"]),
};

const ROWS: readonly (readonly [string, readonly string[]])[] = [
  ["statu", ["status"]],
  ["-m w", ["web", "worker"]],
  ["-m web statu", ["status"]],
  ["image p", ["pull", "prune"]],
  ["image build ", ["debian-12", "debian-13"]],
  ["up --re", ["--reset"]],
  ["-o j", ["json"]],
  ["completions ", ["bash", "zsh", "fish"]],
  ["-c ", [":files"]],
  ["log --source b", ["boot"]],
  ["nonsense x", []],
];

for (const [line, wanted] of ROWS) {
  Deno.test(`complete: "rum ${line}" offers ${wanted.join(" ") || "nothing"}`, async () => {
    assert.deepEqual(await completionsFor(line.split(" "), LIVE), wanted);
  });
}

Deno.test("complete: hidden verbs and options are not offered", async () => {
  assert.deepEqual(await completionsFor(["complet"], LIVE), ["completions"]);
  assert.deepEqual(await completionsFor(["up", "--serv"], LIVE), []);
});
