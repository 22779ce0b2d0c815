/** docs/install.sh: checks before it replaces, needs no root, leaves nothing behind. */
import assert from "node:assert/strict";

const SCRIPT = new URL("../../docs/install.sh", import.meta.url).pathname;
const ARCH = Deno.build.arch;

interface Release extends AsyncDisposable {
  readonly folder: string;
  readonly prefix: string;
  sums(): Promise<void>;
  install(...args: string[]): Promise<{ code: number; out: string; err: string }>;
}

async function release(): Promise<Release> {
  const root = await Deno.makeTempDir({ prefix: "rum-install-" });
  const [folder, prefix] = [`${root}/release`, `${root}/prefix`];
  await Deno.mkdir(`${folder}/share/man/man1`, { recursive: true });
  await Deno.writeTextFile(`${folder}/rum-linux-${ARCH}`, "#!/bin/sh\necho rum 9.9.9\n");
  await Deno.writeTextFile(`${folder}/share/man/man1/rum.1`, ".TH RUM 1\n");
  const shell = async (command: string) => {
    const { success } = await new Deno.Command("sh", { args: ["-c", command], cwd: folder })
      .output();
    assert.ok(success, command);
  };
  await shell("tar -czf rum-share.tar.gz share");
  const self: Release = {
    folder,
    prefix,
    sums: () => shell("sha256sum rum-* > SHA256SUMS"),
    async install(...args) {
      const { code, stdout, stderr } = await new Deno.Command(SCRIPT, {
        args: ["--from", folder, "--prefix", prefix, ...args],
        env: { HOME: root },
        stdin: "null",
      }).output();
      const text = new TextDecoder();
      return { code, out: text.decode(stdout), err: text.decode(stderr) };
    },
    async [Symbol.asyncDispose]() {
      await Deno.remove(root, { recursive: true });
    },
  };
  await self.sums();
  return self;
}

Deno.test("install.sh puts the program, the man page and the completions below the prefix", async () => {
  await using made = await release();
  const { code, out, err } = await made.install();
  assert.equal(code, 0, err);
  assert.match(out, /^rum 9\.9\.9\n/);
  assert.equal((await Deno.stat(`${made.prefix}/bin/rum`)).mode! & 0o777, 0o755);
  await Deno.stat(`${made.prefix}/share/man/man1/rum.1`);
  assert.deepEqual([...Deno.readDirSync(`${made.prefix}/bin`)].map((e) => e.name), ["rum"]);
});

const REFUSALS: readonly {
  readonly what: string;
  readonly says: RegExp;
  readonly spoil: (release: Release) => Promise<void>;
}[] = [
  {
    what: "a file that does not match its checksum",
    says: /is damaged: it hashes to .* nothing was changed/,
    spoil: (made) =>
      Deno.writeTextFile(`${made.folder}/rum-linux-${ARCH}`, "#!/bin/sh\necho bad\n"),
  },
  {
    what: "a file that the checksums do not name",
    says: /does not name rum-linux/,
    spoil: (made) => Deno.writeTextFile(`${made.folder}/SHA256SUMS`, ""),
  },
  {
    what: "a program that does not start here",
    says: /does not start on this host; nothing was changed/,
    async spoil(made) {
      await Deno.writeTextFile(`${made.folder}/rum-linux-${ARCH}`, "#!/bin/sh\nexit 12\n");
      await made.sums();
    },
  },
];

for (const { what, says, spoil } of REFUSALS) {
  Deno.test(`install.sh keeps the rum that is there when it meets ${what}`, async () => {
    await using made = await release();
    assert.equal((await made.install()).code, 0);
    const before = await Deno.readTextFile(`${made.prefix}/bin/rum`);
    await spoil(made);
    const { code, err } = await made.install();
    assert.equal(code, 1);
    assert.match(err, says);
    assert.equal(await Deno.readTextFile(`${made.prefix}/bin/rum`), before);
    assert.deepEqual([...Deno.readDirSync(`${made.prefix}/bin`)].map((e) => e.name), ["rum"]);
  });
}

/** A host without curl, and a wget that meets a redirect of these before it has the file. */
async function hostWithWget(folder: string, redirects: readonly string[]): Promise<string> {
  const tools =
    "sh uname mkdir mktemp awk sha256sum cut chmod mv tar gzip sed head rm cat cp touch";
  const wget = `#!/bin/sh
for last; do :; done
case " $* " in
*" --spider "*)
  case $last in
  https://example.invalid/*) n=0 ;;
  *hop*) n=\${last##*hop}; n=\${n%%/*} ;;
  esac
  set -- ${redirects.map((to) => `'${to}'`).join(" ")}
  shift $n
  [ $# = 0 ] || echo "  Location: $1/\${last##*/} [following]" >&2 ;;
*)
  case $last in https://*) ;; *) exit 9 ;; esac
  for word; do case $word in --output-document=*) out=\${word#*=} ;; esac; done
  cp "$RELEASE/\${last##*/}" "$out" ;;
esac
`;
  await Deno.mkdir(folder);
  for (const tool of tools.split(" ")) {
    const { stdout } = await new Deno.Command("sh", { args: ["-c", `command -v ${tool}`] })
      .output();
    await Deno.symlink(new TextDecoder().decode(stdout).trim(), `${folder}/${tool}`);
  }
  await Deno.writeTextFile(`${folder}/wget`, wget, { mode: 0o755 });
  return folder;
}

for (
  const [redirects, refused] of [
    [[], undefined],
    [["https://a.invalid/hop1", "https://b.invalid/hop2"], undefined],
    [["https://a.invalid/hop1", "http://b.invalid/hop2"], "http://b.invalid/hop2/SHA256SUMS"],
  ] as const
) {
  const way = redirects.length === 0 ? "straight" : redirects.join(", ");
  Deno.test(`install.sh by wget follows redirects to https alone: ${way}`, async () => {
    await using made = await release();
    const tools = await hostWithWget(`${made.folder}/../tools`, redirects);
    const { code, stderr } = await new Deno.Command(SCRIPT, {
      args: ["--from", "https://example.invalid", "--prefix", made.prefix],
      env: { HOME: made.prefix, PATH: tools, RELEASE: made.folder },
      stdin: "null",
    }).output();
    const err = new TextDecoder().decode(stderr);
    assert.equal(code, refused === undefined ? 0 : 1, err);
    if (refused !== undefined) assert.ok(err.includes(`redirects to "${refused}"`), err);
  });
}
