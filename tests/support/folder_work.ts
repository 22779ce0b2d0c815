/**
 * What people do to a project folder, done to one that is shared: branches switched by git, packages
 * installed as npm does it, a file saved as editors do. `equal` resolves once both sides are the same.
 */
import assert from "node:assert/strict";

export interface FolderWork {
  readonly host: string;
  readonly equal: () => Promise<unknown>;
}

export async function switchBranches(
  { host, equal, files }: FolderWork & { readonly files: number },
): Promise<void> {
  const write = (branch: string, seed: number) => {
    for (let i = 0; i < files; i++) {
      const folder = `${host}/${branch}/d${i % 40}`;
      if (i < 40) Deno.mkdirSync(folder, { recursive: true });
      Deno.writeTextFileSync(`${folder}/file ${i}.txt`, `${seed} ${i}\n`.repeat(i % 50));
    }
  };
  const git = async (...args: string[]) => {
    const { success, stderr } = await new Deno.Command("git", {
      args: ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "gc.auto=0", ...args],
      cwd: host,
      stdout: "null",
      stderr: "piped",
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
  };
  write("main", 1);
  await git("init", "-q", "-b", "main");
  await git("add", "-A");
  await git("commit", "-q", "-m", "1");
  await git("checkout", "-q", "-b", "other");
  write("main", 2);
  write("second", 3);
  await Deno.remove(`${host}/main/d1`, { recursive: true });
  await git("add", "-A");
  await git("commit", "-q", "-m", "2");
  await equal();
  await git("checkout", "-q", "main");
  await equal();
  // There and back before anybody could follow.
  await git("checkout", "-q", "other");
  await git("checkout", "-q", "main");
  await git("checkout", "-q", "other");
  await equal();
}

export async function installPackages(
  { host, equal, packages }: FolderWork & { readonly packages: number },
): Promise<void> {
  const modules = `${host}/node_modules`;
  /** Unpacked under a name of its own, then renamed into its place. */
  const install = async (name: string, version: number) => {
    const made = `${modules}/.${name}-${version}`;
    for (const folder of ["lib/deep/er", "node_modules/inner/lib", "empty"]) {
      await Deno.mkdir(`${made}/${folder}`, { recursive: true });
    }
    await Deno.writeTextFile(`${made}/package.json.tmp`, JSON.stringify({ name, version }));
    await Deno.rename(`${made}/package.json.tmp`, `${made}/package.json`);
    for (let i = 0; i < 10; i++) {
      const folder = ["lib", "lib/deep", "lib/deep/er", "node_modules/inner/lib"][i % 4];
      await Deno.writeTextFile(`${made}/${folder}/${i}.js`, `${name} ${version * (i % 2)} ${i}`);
    }
    await Deno.rename(made, `${modules}/${name}`);
    await Deno.mkdir(`${modules}/.bin`, { recursive: true });
    await Deno.remove(`${modules}/.bin/${name}`).catch(() => {});
    await Deno.symlink(`../${name}/lib/0.js`, `${modules}/.bin/${name}`);
  };
  for (let i = 0; i < packages; i++) await install(`p${i}`, 1);
  await equal();
  for (let i = 0; i < packages; i++) {
    const [place, old] = [`${modules}/p${i}`, `${modules}/.old-p${i}`];
    if (i % 3 === 0) {
      await Deno.rename(place, old);
      await install(`p${i}`, 2);
      await Deno.remove(old, { recursive: true });
    } else if (i % 3 === 1) await Deno.remove(place, { recursive: true });
  }
  await equal();
  await Deno.remove(modules, { recursive: true });
  await install("p0", 3);
  await equal();
}

/** Beside it and renamed over it, as vim and most others do; its inode is another one afterwards. */
export async function saveAsEditorsDo(path: string, text: string): Promise<void> {
  const temporary = path.replace(/[^/]+$/, ".$&.swp");
  await Deno.writeTextFile(temporary, text);
  await Deno.rename(temporary, path);
}
