/**
 * A build whose tools are quick stand-ins that write what the real ones would, slowly enough to be
 * killed in between. Order, names, renames and locks are the real ones. argv: the sandbox folder, and
 * the progress at which it stands still.
 */
import { PARTITION_START_SECTOR, SECTOR } from "../../src/image/boot_sector.ts";
import { buildRecipe, buildTarget } from "../../src/image/build_recipe.ts";
import { rumPaths } from "../../src/plan/paths.ts";
import { buildImage } from "../../src/store/image_build.ts";
import type { RunTool } from "../../src/store/image_build_run.ts";

const folder = Deno.args[0];
const calls = `${folder}/calls`;

const run: RunTool = async (program, { args, cwd }) => {
  await Deno.writeTextFile(calls, `${program}\n`, { append: true });
  const slowly = async (path: string, bytes: number) => {
    using file = await Deno.open(path, { write: true, create: true, truncate: true });
    for (let at = 0; at < bytes; at += 50_000) await file.write(new Uint8Array(50_000).fill(7));
  };
  if (program === "mmdebstrap") {
    await slowly(args[args.indexOf("bookworm") + 1], 2_000_000);
  } else if (program === "qemu-img") {
    const { success } = await new Deno.Command(program, { args: [...args] }).output();
    if (!success) throw new Error("qemu-img failed");
  } else {
    await Deno.writeFile(`${cwd}/boot.img`, new Uint8Array(SECTOR).fill(1));
    await Deno.writeFile(`${cwd}/core.img`, new Uint8Array(70_000).fill(2));
    using disk = await Deno.open(`${cwd}/disk.raw`, { write: true });
    await disk.seek(PARTITION_START_SECTOR * SECTOR, Deno.SeekMode.Start);
    await disk.write(new Uint8Array(1_000_000).fill(3));
  }
};

const got = await buildImage({
  name: "debian-12",
  arch: "x86_64",
  paths: rumPaths({
    uid: Deno.uid() ?? 0,
    home: folder,
    xdgDataHome: `${folder}/data`,
    xdgCacheHome: `${folder}/cache`,
  }),
  recipe: buildRecipe(buildTarget("debian-12"), { archive: "http://mirror.example/debian" }, "/k"),
  mode: "root",
  run,
  progress({ stage, percent }) {
    console.log(`${stage} ${percent}`);
    if (`${stage} ${percent}` === Deno.args[1]) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    }
  },
});
console.log(JSON.stringify({ digest: got.digest, path: got.path }));
