/**
 * A hook right before it runs, on a real disk: what was approved, then what a guest with a read-write
 * mount of the project could do to it without a word in rum.toml.
 */
import assert from "node:assert/strict";
import { RumError } from "../../../src/base/errors.ts";
import { checkFile } from "../../../src/config/load.ts";
import { fingerprintOf, hookKeyOf } from "../../../src/config/trust.ts";
import { requireApprovedHook } from "../../../src/daemon/approval.ts";
import { rumPaths } from "../../../src/plan/paths.ts";
import { approve } from "../../../src/store/trust_store.ts";

interface Bed extends AsyncDisposable {
  readonly project: string;
  /** Undefined = it would run; else the refusal's message. */
  refusal(): Promise<string | undefined>;
  /** `rum trust`, of the file as it is now. */
  trust(): Promise<void>;
}

/** A project with `bin/real.sh`, `run.sh` that links to it, and one approved hook. */
async function approvedHook(words: readonly string[]): Promise<Bed> {
  const top = await Deno.realPath(await Deno.makeTempDir());
  const project = `${top}/project`;
  await Deno.mkdir(`${project}/bin`, { recursive: true });
  await Deno.mkdir(`${top}/outside`);
  await Deno.writeTextFile(`${top}/outside/tool.sh`, "echo tool\n");
  await Deno.writeTextFile(`${top}/outside/evil.sh`, "echo evil\n");
  await Deno.writeTextFile(`${project}/bin/real.sh`, "echo real\n");
  await Deno.symlink("bin/real.sh", `${project}/run.sh`);
  await Deno.symlink("bin", `${project}/tools`);
  await Deno.symlink("../outside/tool.sh", `${project}/out.sh`);
  await Deno.writeTextFile(
    `${project}/rum.toml`,
    `image.base = "debian-12"\n[on.ready]\nexec = ${JSON.stringify(words)}\n`,
  );
  const rum = rumPaths({ uid: Deno.uid()!, home: top, xdgDataHome: `${top}/data` });
  const load = async () => {
    const result = await checkFile(`${project}/rum.toml`, { home: top });
    if (result.kind === "bad") throw new Error(JSON.stringify(result.diagnostics));
    return result.config;
  };
  const trust = async () => await approve({ config: await load(), paths: rum });
  const [recorded] = (await load()).hooks;
  await trust();
  return {
    project,
    trust,
    async refusal() {
      try {
        await requireApprovedHook(rum, { path: `${project}/rum.toml`, home: top }, recorded);
        return undefined;
      } catch (error) {
        assert.ok(error instanceof RumError && error.code === "untrusted_config", String(error));
        assert.equal(error.hint, "rum trust");
        return error.message;
      }
    },
    async [Symbol.asyncDispose]() {
      await Deno.remove(top, { recursive: true });
    },
  };
}

/** What the guest does to the project; the file that the refusal names. */
const SWAPS: readonly {
  what: string;
  words: readonly string[];
  named: string;
  guest(project: string): Promise<void>;
}[] = [
  {
    what: "a link becomes a file of its own",
    words: ["./run.sh"],
    named: "run.sh",
    async guest(project) {
      await Deno.remove(`${project}/run.sh`);
      await Deno.writeTextFile(`${project}/run.sh`, "echo evil\n", { mode: 0o755 });
    },
  },
  {
    what: "a link comes to point at another file with the same content",
    words: ["sh", "-c", "./run.sh up"],
    named: "run.sh",
    async guest(project) {
      await Deno.copyFile(`${project}/bin/real.sh`, `${project}/other.sh`);
      await Deno.remove(`${project}/run.sh`);
      await Deno.symlink("other.sh", `${project}/run.sh`);
    },
  },
  {
    what: "a linked folder on the way is swapped",
    words: ["tools/real.sh"],
    named: "tools/real.sh",
    async guest(project) {
      await Deno.mkdir(`${project}/mine`);
      await Deno.writeTextFile(`${project}/mine/real.sh`, "echo evil\n");
      await Deno.remove(`${project}/tools`);
      await Deno.symlink("mine", `${project}/tools`);
    },
  },
  {
    what: "a real folder on the way becomes a link out of the project",
    words: ["bin/real.sh"],
    named: "bin/real.sh",
    async guest(project) {
      await Deno.rename(`${project}/bin`, `${project}/was`);
      await Deno.symlink("../outside", `${project}/bin`);
    },
  },
  {
    what: "the project itself, in a shared folder, becomes a link",
    words: ["sh", "./later.sh"],
    named: "later.sh",
    async guest(project) {
      await Deno.mkdir(`${project}/../mine`);
      await Deno.writeTextFile(`${project}/../mine/later.sh`, "echo evil\n");
      await Deno.copyFile(`${project}/rum.toml`, `${project}/../mine/rum.toml`);
      await Deno.rename(project, `${project}-was`);
      await Deno.symlink("mine", project);
    },
  },
  {
    what: "a link out of the project points elsewhere",
    words: ["sh", "out.sh"],
    named: "out.sh",
    async guest(project) {
      await Deno.remove(`${project}/out.sh`);
      await Deno.symlink("../outside/evil.sh", `${project}/out.sh`);
    },
  },
  {
    what: "a file that was not there is made",
    words: ["sh", "./later.sh"],
    named: "later.sh",
    guest: (project) => Deno.writeTextFile(`${project}/later.sh`, "echo evil\n"),
  },
  {
    what: "a link out of the project is made where nothing was",
    words: ["./later.sh"],
    named: "later.sh",
    guest: (project) => Deno.symlink("../outside/evil.sh", `${project}/later.sh`),
  },
  {
    what: "a folder called ~ is made",
    words: ["~/later.sh"],
    named: "~/later.sh",
    async guest(project) {
      await Deno.mkdir(`${project}/~`);
      await Deno.writeTextFile(`${project}/~/later.sh`, "echo evil\n");
    },
  },
  {
    what: "the content changes",
    words: ["./bin/real.sh"],
    named: "bin/real.sh",
    guest: (project) => Deno.writeTextFile(`${project}/bin/real.sh`, "echo evil\n"),
  },
];

for (const { what, words, named, guest } of SWAPS) {
  Deno.test(`a hook that was approved does not run once ${what}`, async () => {
    await using bed = await approvedHook(words);
    assert.equal(await bed.refusal(), undefined);
    await guest(bed.project);
    assert.equal(
      await bed.refusal(),
      `Cannot run an approved command: File ${bed.project}/${named} has changed since`,
    );
    if (!(await Deno.lstat(bed.project)).isDirectory) return;
    // What the user looked at again and approved runs, without another `up`.
    await bed.trust();
    assert.equal(await bed.refusal(), undefined);
  });
}

Deno.test("a hook that was approved by an earlier rum, with plain files, is still approved", () => {
  const sha256 = "a".repeat(64);
  const hook = { event: "ready", exec: ["./a", "b"], timeoutMs: 1 };
  assert.equal(
    fingerprintOf(hookKeyOf({ ...hook, files: [{ path: "/p/a", sha256 }] })),
    `["on.ready.exec",${
      JSON.stringify(`["./a","b"] with /p/a sha256:${sha256}`)
    },"runs a command on this host"]`,
  );
});
