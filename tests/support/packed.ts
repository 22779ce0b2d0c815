/**
 * A self-extracting file with a tiny program inside: a shell script in the place of deno that says how
 * it was started. The header is the real one, so what it does on disk can be tried in milliseconds.
 */
import { pack } from "../../src/build/pack.ts";

const PROGRAM = `#!/bin/sh
for last; do :; done
echo "args=$*"
echo "umask=$(umask)"
echo "self=$RUM_SELF_FILE"
echo "folder=$(dirname "$0")"
echo "deno_dir=$DENO_DIR"
echo "path=$PATH"
[ "$last" != fail ] || exit 7
`;

export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What the program said of itself, by name. */
  readonly facts: Readonly<Record<string, string>>;
}

export interface Packed extends AsyncDisposable {
  readonly folder: string;
  /** The file; everybody may run it. */
  readonly file: string;
  /** An ordinary user without an account, with a home of its own. */
  readonly uid: number;
  readonly home: string;
  /** Where it unpacks for that user. */
  readonly base: string;
  run(args?: readonly string[], options?: RunOptions): Promise<Said>;
}

export interface RunOptions {
  readonly env?: Record<string, string>;
  readonly file?: string;
  readonly uid?: number;
  readonly cwd?: string;
  /** With an empty environment. */
  readonly bare?: boolean;
  /** A shell line that runs before the file is started, in the same mount namespace. */
  readonly before?: string;
}

export async function packed(): Promise<Packed> {
  const folder = await Deno.makeTempDir({ prefix: "rum-packed-" });
  await Deno.chmod(folder, 0o755);
  const rum = `${folder}/payload/rum`;
  for (const room of ["app", "agent"]) {
    await Deno.mkdir(`${rum}/${room}`, { recursive: true });
    await Deno.writeTextFile(`${rum}/${room}/rum.js`, `// ${room}\n`);
  }
  await Deno.writeTextFile(`${rum}/deno`, PROGRAM, { mode: 0o755 });
  // So that a full disk is met while unpacking, and not only afterwards.
  await Deno.writeFile(`${rum}/agent/bulk`, crypto.getRandomValues(new Uint8Array(65_536)));
  const file = `${folder}/rum`;
  await pack({ name: "rum", folder: `${folder}/payload`, out: file });

  // No account has it, and no test that runs at the same time.
  const uid = 1_000_000 + crypto.getRandomValues(new Uint16Array(1))[0] * 1000 + Deno.pid % 1000;
  const home = `${folder}/home`;
  await Deno.mkdir(home);
  await Deno.chown(home, uid, uid);
  return {
    folder,
    file,
    uid,
    home,
    base: `${home}/.cache/rum/bin`,
    async run(args = [], options = {}) {
      const id = options.uid ?? uid;
      const script = `${options.before ?? ":"}; exec setpriv --reuid=${id} --regid=${id} ` +
        `--clear-groups -- ${options.bare ? "env -i " : ""}"$@"`;
      const { code, stdout, stderr } = await new Deno.Command("unshare", {
        args: ["--mount", "sh", "-c", script, "sh", options.file ?? file, ...args],
        cwd: options.cwd ?? "/",
        clearEnv: true,
        env: { HOME: home, PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", ...options.env },
        stdin: "null",
      }).output();
      const text = new TextDecoder();
      const said = text.decode(stdout);
      const facts = Object.fromEntries(
        said.split("\n").filter((line) => line.includes("=")).map((line) => {
          const at = line.indexOf("=");
          return [line.slice(0, at), line.slice(at + 1)];
        }),
      );
      return { code, stdout: said, stderr: text.decode(stderr), facts };
    },
    async [Symbol.asyncDispose]() {
      await Deno.remove(folder, { recursive: true });
      await Deno.remove(`/tmp/rum-${uid}`, { recursive: true }).catch(() => {});
    },
  };
}
