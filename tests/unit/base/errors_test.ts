/**
 * The table of errors against the code and the tests: every code is raised somewhere, and somewhere
 * a test sees it raised. Those that no larger story tells are raised here.
 */
import "../../support/libc_opened.ts";
import assert from "node:assert/strict";
import {
  errorDocument,
  errorFromDocument,
  ERRORS,
  EXIT,
  exitCodeOf,
  RumError,
  toRumError,
} from "../../../src/base/errors.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { loadConfig } from "../../../src/config/load.ts";
import { requireLinux } from "../../../src/cli/run.ts";
import { hypervisorMethods } from "../../../src/daemon/methods/hypervisor.ts";
import { applyPlan, createGuestPort } from "../../../src/daemon/guest_port.ts";
import { scanTree } from "../../../src/guest/folder_scan.ts";
import { SharedFolder } from "../../../src/guest/shared_folder.ts";
import { IgnoreRules } from "../../../src/sync/ignore.ts";
import { fileError } from "../../../src/store/ownership.ts";
import { makePlan } from "../../../src/plan/plan.ts";
import { sampleConfig, sampleFacts } from "../plan/sample.ts";
import { rumCommand, sandbox } from "../../support/rum.ts";

const ROOT = new URL("../../../", import.meta.url).pathname;

async function textOf(folder: string): Promise<string> {
  let text = "";
  for await (const entry of Deno.readDir(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) text += await textOf(path);
    else if (/\.(ts|snap)$/.test(path) && !path.endsWith("src/base/errors.ts")) {
      text += await Deno.readTextFile(path);
    }
  }
  return text;
}

Deno.test("errors: every code is raised by the program and seen by a test", async () => {
  const program = await textOf(`${ROOT}src`) + await textOf(`${ROOT}agent`);
  const tests = await textOf(`${ROOT}tests`);
  const codes = Object.keys(ERRORS);
  assert.deepEqual(codes.filter((code) => !program.includes(`"${code}"`)), [], "never raised");
  assert.deepEqual(codes.filter((code) => !tests.includes(code)), [], "no test knows of");
});

Deno.test("errors: exit codes are those that scripts rely on", () => {
  assert.deepEqual(EXIT, {
    ok: 0,
    internal: 1,
    usage: 2,
    config: 3,
    not_found: 4,
    not_running: 5,
    busy: 6,
    daemon: 7,
    protocol: 8,
    hypervisor: 9,
    provisioning: 10,
    agent_unreachable: 11,
    host_prerequisite: 12,
    timeout: 124,
    interrupted: 130,
  });
  assert.equal(exitCodeOf("provision_failed"), 10);
});

Deno.test("errors: a document says everything once and comes back as the same error", () => {
  const cause = new Error("inner", { cause: new Error("innermost") });
  const error = new RumError("disk_full", "Cannot write", {
    hint: "df -h",
    data: { free: 1 },
    cause,
  });
  const doc = errorDocument(error);
  assert.deepEqual(doc, {
    v: 1,
    type: "error",
    code: "disk_full",
    exit: 12,
    message: "Cannot write",
    hint: "df -h",
    data: { free: 1 },
    causes: ["inner", "innermost"],
  });
  const back = errorFromDocument(doc);
  assert.deepEqual([back.code, back.message, back.hint], ["disk_full", "Cannot write", "df -h"]);
  assert.equal(errorFromDocument({ code: "of_the_future", message: "x" }).code, "internal");
});

Deno.test("errors: what is thrown by others gets a code", () => {
  assert.equal(toRumError(new TypeError("x")).code, "internal");
  assert.equal(toRumError(new DOMException("late", "TimeoutError")).code, "timeout");
  assert.equal(toRumError(new DOMException("stop", "AbortError")).code, "cancelled");
  const real = new RumError("busy", "real");
  assert.equal(toRumError(new SuppressedError(new Error("clean-up"), real)), real);
});

const code = (wanted: string) => (error: unknown) =>
  error instanceof RumError && error.code === wanted;

Deno.test("CTR-D016: off Linux there is one sentence that names the system, and exit 12", () => {
  assert.throws(() => requireLinux("darwin"), (error: unknown) => {
    assert.ok(error instanceof RumError);
    assert.equal(error.code, "not_linux");
    assert.equal(error.exitCode, 12);
    assert.match(error.message, /^rum needs Linux .* this is darwin$/);
    return true;
  });
  requireLinux("linux");
});

Deno.test("permission_denied: a file that may not be written", () => {
  const error = fileError(new Deno.errors.PermissionDenied("no"), "Cannot write");
  assert.equal(error.code, "permission_denied");
});

Deno.test("config_unreadable: a folder where rum.toml should be", async () => {
  const folder = await Deno.makeTempDir();
  await Deno.mkdir(`${folder}/rum.toml`);
  await assert.rejects(loadConfig(`${folder}/rum.toml`, { home: "/" }), code("config_unreadable"));
  await Deno.remove(folder, { recursive: true });
});

Deno.test("needs_confirmation: a question that nobody can be asked", async () => {
  await using box = await sandbox();
  const result = await box.rum(["init", "-o", "json"]);
  assert.equal(result.code, 2, rumCommand().join(" "));
  assert.equal(result.error.code, "needs_confirmation");
});

Deno.test("unsafe_refused, monitor_error: a command that changes the machine, one that QEMU refuses", async () => {
  const methods = hypervisorMethods({
    machine: () => ({
      monitorCommand: () =>
        Promise.resolve({ error: { class: "CommandNotFound", desc: "no such command\x1b[2J" } }),
    } as never),
    powered: () => true,
    stats: undefined as never,
    clock: systemClock,
  });
  const qmp = (params: object) =>
    methods.qmp.handle({} as never, params, { signal: new AbortController().signal } as never);
  await assert.rejects(
    Promise.resolve().then(() => qmp({ command: "stop", unsafe: false })),
    code("unsafe_refused"),
  );
  await assert.rejects(
    Promise.resolve().then(() => qmp({ command: "query-nothing", unsafe: false })),
    (error) => code("monitor_error")(error) && !/\x1b/.test((error as Error).message),
  );
});

Deno.test("mount_failed: every item that the guest could not set up is named", async () => {
  const plan = makePlan(sampleConfig(), sampleFacts());
  const client = {
    apply: () =>
      Promise.resolve([
        { item: "mount /srv", outcome: "failed", message: "no such tag" },
        { item: "user rum", outcome: "unchanged" },
      ]),
  };
  await assert.rejects(
    applyPlan(client as never, plan, "ssh-ed25519 AAAA", {
      signal: new AbortController().signal,
      emit: () => {},
    }),
    (error) =>
      code("mount_failed")(error) && /\/srv \(no such tag\)/.test((error as Error).message),
  );
});

Deno.test("agent_newer: the agent of a later rum is neither used nor replaced", async () => {
  const plan = makePlan(sampleConfig(), sampleFacts());
  const client = {
    hello: {
      digest: "other",
      version: "99.0.0",
      bootId: "b",
      firstBootDone: true,
      doneScripts: {},
    },
    upgrade: () => assert.fail("it was replaced"),
  };
  const port = createGuestPort({
    session: () => ({ ready: () => Promise.resolve(client) }),
    plan: () => plan,
    console: { listen: () => () => {} },
    emit: () => {},
    clock: systemClock,
  } as never);
  await assert.rejects(
    port.greet({ operation: "o", signal: new AbortController().signal, deadlineMs: 10_000 }),
    code("agent_newer"),
  );
});

Deno.test("host_limit: a shared folder with more files than can be watched", async () => {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  for (let i = 0; i < 4; i++) await Deno.writeTextFile(`${folder}/${i}`, "");
  using shared = SharedFolder.open(folder);
  await assert.rejects(
    scanTree(shared, "", new Map(), {
      rules: new IgnoreRules(),
      onFolder: () => {},
      onSkipped: () => {},
      maxEntries: 3,
    }),
    code("host_limit"),
  );
  await Deno.remove(folder, { recursive: true });
});
