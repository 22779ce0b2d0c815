/** A process that pulls one image, for tests that race it or kill it. argv: JSON of what to pull. */
import { rumPaths } from "../../src/plan/paths.ts";
import { ensureImage } from "../../src/store/image_ensure.ts";

const { folder, base, sha256 } = JSON.parse(Deno.args[0]);
const got = await ensureImage({
  image: { base, kind: "url", sha256 },
  arch: "x86_64",
  paths: rumPaths({
    uid: Deno.uid() ?? 0,
    home: folder,
    xdgDataHome: `${folder}/data`,
    xdgCacheHome: `${folder}/cache`,
  }),
});
console.log(JSON.stringify({ digest: got.digest, cached: got.cached }));
