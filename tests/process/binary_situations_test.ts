/**
 * The built file where people put it: from `/` with an empty environment, as root and as an ordinary
 * user, read-only all around, below a home path of 150 characters. Needs root.
 */
import assert from "node:assert/strict";
import { VERSION } from "../../src/base/version.ts";
import { builtRum } from "../support/built.ts";
import { makeSessionUser, type SessionUser } from "../support/session_user.ts";

const CONFIG = `name = "situation"
[image]
base = "debian-12"
`;

interface Situation {
  readonly name: string;
  readonly root?: boolean;
  /** Shell lines that run as root in the call's own mount namespace. */
  readonly before?: (user: SessionUser) => string;
  readonly env?: (user: SessionUser) => Record<string, string>;
}

const SITUATIONS: readonly Situation[] = [
  {
    name: "root, from /, with an empty environment",
    root: true,
    // This host's own machines and cache are not touched.
    before: () =>
      "mkdir -p /var/lib/rum /var/cache/rum; mount -t tmpfs -o mode=0711 tmpfs /var/lib/rum; " +
      "mount -t tmpfs -o mode=0700 tmpfs /var/cache/rum",
  },
  { name: "an ordinary user, from /, with an empty environment" },
  {
    name: "an ordinary user whose home is read-only",
    before: (user) =>
      `mount --bind ${user.home} ${user.home}; mount -o remount,ro,bind ${user.home}`,
  },
  {
    name: "an ordinary user with a home path of 150 characters",
    before: (user) => `mkdir -p ${deep(user)}; chown -R ${user.name} ${user.home}`,
    env: (user) => ({ HOME: deep(user) }),
  },
];

function deep(user: SessionUser): string {
  const start = `${user.home}/`;
  return start + "deep-".repeat(30).slice(0, 150 - start.length);
}

Deno.test("the built file works wherever it is put and whoever starts it", async (t) => {
  await using built = await builtRum();
  await using user = await makeSessionUser();
  const project = await Deno.makeTempDir({ prefix: "rum-situation-" });
  await Deno.writeTextFile(`${project}/rum.toml`, CONFIG);
  await Deno.chmod(project, 0o555);
  const config = `${project}/rum.toml`;
  await Deno.chmod(config, 0o444);

  for (const { name, root, before, env } of SITUATIONS) {
    const rum = async (...args: string[]) => {
      const variables = Object.entries(env?.(user) ?? {}).map(([k, v]) => `${k}=${v}`);
      const command = ["env", "-i", ...variables, built.rum, ...args];
      const child = await new Deno.Command("unshare", {
        args: [
          ...["--mount", "sh", "-c", `${before?.(user) ?? ":"}; exec "$@"`, "sh"],
          ...(root ? command : [...user.command(command[0]), ...command.slice(1)]),
        ],
        cwd: "/",
        stdin: "null",
      }).output();
      const text = new TextDecoder();
      const out = text.decode(child.stdout);
      return { code: child.code, out, err: text.decode(child.stderr) };
    };
    const document = async (...args: string[]) => {
      const { code, out, err } = await rum(...args, "-o", "json");
      assert.equal(code, 0, `${args.join(" ")}: ${out}${err}`);
      return JSON.parse(out);
    };

    await t.step(name, async () => {
      const version = await document("version");
      assert.equal(version.version, VERSION);
      assert.match(version.form, /^(compiled|self-extracting)$/);
      assert.match(version.agentDigest, /^[0-9a-f]{64}$/);
      assert.deepEqual((await document("list")).machines, []);
      assert.equal((await document("-c", config, "config", "check")).type, "config_check");
      const status = await document("-c", config, "status");
      assert.equal(status.phase, "absent");
      const doctor = await rum("doctor", "-o", "json");
      assert.ok([0, 12].includes(doctor.code), doctor.err);
      assert.equal(JSON.parse(doctor.out).type, "doctor", doctor.out);
      const failed = await rum("-c", "/nowhere/rum.toml", "config", "check", "-o", "json");
      assert.equal(JSON.parse(failed.err).exit, failed.code, failed.err);
    });
  }

  await t.step("what is loaded lazily is all in the file", async () => {
    // A mistake is found by smol-toml and placed by toml-eslint-parser, both loaded when needed.
    const bad = `${user.home}/bad.toml`;
    await Deno.writeTextFile(bad, "[image]\nbse = 1\n");
    const { code, stderr } = await new Deno.Command(built.rum, {
      args: ["-c", bad, "config", "check"],
      stdin: "null",
    }).output();
    assert.equal(code, 3);
    assert.match(new TextDecoder().decode(stderr), /bad\.toml:2:1/);
  });
  await Deno.remove(project, { recursive: true });
  const { uid } = await Deno.stat(user.home);
  await Deno.remove(`/tmp/rum-${uid}`, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
});
