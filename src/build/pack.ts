/** The self-extracting form on disk: header and payload in one file, written beside and renamed. */
import { selfExtractingHeader } from "./self_extracting.ts";
import { VERSION } from "../base/version.ts";

export interface PackOptions {
  readonly name: "rum" | "rum-agent";
  /** Holds `rum/`, which becomes the payload. */
  readonly folder: string;
  readonly out: string;
  readonly v8Flags?: string;
}

/** The payload depends on its content only, so the same sources give the same file. */
export async function pack({ name, folder, out, v8Flags }: PackOptions): Promise<void> {
  const payload = `${folder}.tar.gz`;
  await run("sh", [
    "-c",
    'tar --sort=name --owner=0 --group=0 --mode=go-rwx --mtime=@0 -cf - -C "$1" rum |' +
    ' gzip -n -6 > "$2"',
    ...["sh", folder, payload],
  ]);
  const bytes = await Deno.readFile(payload);
  const digest = await sha256(bytes);
  const temporary = `${out}.tmp-${Deno.pid}`;
  await Deno.writeTextFile(
    temporary,
    selfExtractingHeader({ name, version: VERSION, digest, v8Flags }),
  );
  await Deno.writeFile(temporary, bytes, { append: true });
  await Deno.chmod(temporary, 0o755);
  await Deno.rename(temporary, out);
  await Deno.remove(payload);
}

export async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return Array.from(new Uint8Array(hash), (b) => b.toString(16).padStart(2, "0")).join("");
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, {
    args: [...args],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (!success) throw new Error(`${program}: ${new TextDecoder().decode(stderr)}`);
}
