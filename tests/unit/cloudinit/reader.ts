/**
 * cloud-init itself as the reader, without installing it: Debian's packages are fetched by apt-get
 * as any user, unpacked into a folder and run from there. Where that cannot be, the reason is told
 * and the tests are skipped by that name.
 */
const PACKAGES = [
  "cloud-init",
  "python3-attr",
  "python3-certifi",
  "python3-chardet",
  "python3-charset-normalizer",
  "python3-configobj",
  "python3-idna",
  "python3-jinja2",
  "python3-json-pointer",
  "python3-jsonpatch",
  "python3-jsonschema",
  "python3-markupsafe",
  "python3-netifaces",
  "python3-oauthlib",
  "python3-pyrsistent",
  "python3-requests",
  "python3-serial",
  "python3-six",
  "python3-urllib3",
  "python3-yaml",
];
const PYTHON = "/usr/bin/python3";

export interface CloudInit extends AsyncDisposable {
  /** Runs Python with cloud-init's modules; `input` on stdin, stdout back. */
  python(code: string, input: string): Promise<string>;
  /** `cloud-init schema`: undefined when it is content, else what it says. */
  schema(userData: string): Promise<string | undefined>;
}

/** @returns the reader, or why there is none */
export async function cloudInit(): Promise<CloudInit | string> {
  if (!await Deno.stat(PYTHON).then(() => true, () => false)) return `${PYTHON} is not there`;
  const folder = await Deno.makeTempDir({ prefix: "rum-cloud-init-" });
  const dispose = () => Deno.remove(folder, { recursive: true });
  const fetched = await run("apt-get", ["download", "-q", ...PACKAGES], { cwd: folder });
  if (fetched.code !== 0) {
    await dispose();
    return `apt-get cannot download cloud-init: ${fetched.stderr.trim().split("\n").pop()}`;
  }
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".deb")) continue;
    const unpacked = await run("dpkg-deb", ["-x", name, "root"], { cwd: folder });
    if (unpacked.code !== 0) throw new Error(unpacked.stderr);
  }
  const env = { PYTHONPATH: `${folder}/root/usr/lib/python3/dist-packages`, LC_ALL: "C.UTF-8" };
  return {
    async python(code, input) {
      const { code: status, stdout, stderr } = await run(PYTHON, ["-c", code], { env, input });
      if (status !== 0) throw new Error(stderr);
      return stdout;
    },
    async schema(userData) {
      const path = `${folder}/user-data`;
      await Deno.writeTextFile(path, userData);
      const args = [`${folder}/root/usr/bin/cloud-init`, "schema", "--config-file", path];
      const { code, stdout, stderr } = await run(PYTHON, args, { env });
      return code === 0 ? undefined : stdout + stderr;
    },
    [Symbol.asyncDispose]: dispose,
  };
}

async function run(
  command: string,
  args: string[],
  options: { cwd?: string; env?: Record<string, string>; input?: string },
): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = new Deno.Command(command, {
    args,
    cwd: options.cwd,
    env: options.env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(options.input ?? "")).catch(() => {});
  await writer.close().catch(() => {});
  const { code, stdout, stderr } = await child.output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
