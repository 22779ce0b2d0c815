/**
 * TypeScript → one program: `deno bundle` (esbuild) over an entry that is generated here, so that
 * what is stamped (form, commit, agent digest) is set before any module of rum is evaluated.
 */
const ROOT = new URL("../../", import.meta.url).pathname;

export async function runDeno(
  args: readonly string[],
  options: { env?: Record<string, string> } = {},
): Promise<{ success: boolean; text: string }> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    stdin: "null",
    env: { NO_COLOR: "1", ...options.env },
  }).output();
  const decoder = new TextDecoder();
  return { success, text: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** @throws {Error} with what deno printed */
export async function bundle(
  entries: readonly string[],
  options: { outdir: string; splitting: boolean },
): Promise<void> {
  const { success, text } = await runDeno([
    "bundle",
    "--quiet",
    "--platform",
    "deno",
    "--minify",
    "--keep-names",
    ...(options.splitting ? ["--code-splitting"] : []),
    "--outdir",
    options.outdir,
    ...entries,
  ]);
  if (!success) throw new Error(`Cannot bundle ${entries.join(", ")}:\n${text}`);
}
