/**
 * The built file alone in a bare Debian with QEMU and libvirt's driver modules: no init, no libvirtd,
 * no user but root. With FULL=1 only: the tree takes a minute to make. Needs root.
 *
 * It runs in a mount and a process namespace of its own, so whatever it starts ends with it.
 */
import assert from "node:assert/strict";
import { buildTarget } from "../../src/image/build_recipe.ts";
import { rumPaths } from "../../src/plan/paths.ts";
import { hostRecipe } from "../../src/store/image_build_host.ts";
import { listImages } from "../../src/store/image_cache.ts";
import { builtRum } from "../support/built.ts";
import { testImage } from "../support/machine.ts";
import { sharedCache } from "../support/rum.ts";

const PACKAGES = ["qemu-system-x86", "libvirt0", "libvirt-daemon", "libvirt-daemon-driver-qemu"];

const CONFIG = `name = "bare"
[image]
base = "base.qcow2"
[resources]
memory = "1G"
disk = "8G"
`;

/** Runs in the namespaces, as their first process. */
const INSIDE = `set -eu
root=$1 rum=$2 image=$3
for d in proc dev tmp run project usr/local/bin; do mkdir -p $root/$d; done
mount -t proc proc $root/proc
# Without it libvirt cannot place QEMU on processors, and fails without a word of its own.
mkdir -p $root/sys; mount --rbind -o ro /sys $root/sys
mount -t tmpfs -o mode=0755 tmpfs $root/dev
for d in null:3 zero:5 full:7 random:8 urandom:9; do
  mknod -m 0666 $root/dev/\${d%:*} c 1 \${d#*:}
done
mkdir $root/dev/pts $root/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts $root/dev/pts
ln -s pts/ptmx $root/dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs $root/tmp
mount -t tmpfs -o mode=0755 tmpfs $root/run
: > $root/usr/local/bin/rum; mount --bind $rum $root/usr/local/bin/rum
: > $root/project/base.qcow2; mount --bind -o ro $image $root/project/base.qcow2
exec chroot $root /bin/sh -s
`;

const COMMANDS: readonly { readonly args: string; readonly says: RegExp }[] = [
  { args: "version", says: /^rum \d/ },
  // The user that libvirt's driver looks up comes with a package that a bare system does not have.
  { args: "doctor --fix -y", says: /./ },
  { args: "up -d --timeout 5m", says: /./ },
  { args: "exec -- uname -s", says: /^Linux$/m },
  { args: "status", says: /embed/ },
  { args: "down", says: /./ },
  { args: "destroy -y", says: /./ },
];

Deno.test({
  name:
    "the built file alone in a bare chroot with QEMU and libvirt's driver modules lives a whole life",
  ignore: Deno.env.get("FULL") !== "1",
  async fn() {
    const name = await testImage();
    const paths = rumPaths({ uid: 0, home: "/", xdgCacheHome: sharedCache() });
    const image = (await listImages(paths)).find(({ names }) => names.includes(name))!.path;
    await using built = await builtRum();
    const folder = await Deno.makeTempDir({ prefix: "rum-chroot-" });
    const root = `${folder}/root`;
    try {
      const recipe = await hostRecipe(buildTarget("debian-12"));
      await run("mmdebstrap", [
        ...["--quiet", "--variant=minbase", "--mode=root", `--include=${PACKAGES.join(",")}`],
        `--keyring=${recipe.keyring}`,
        ...["--dpkgopt=path-exclude=/usr/share/doc/*", recipe.target.suite, root, "-"],
      ], recipe.sources.join("\n"));
      await Deno.mkdir(`${root}/project`);
      await Deno.writeTextFile(`${root}/project/rum.toml`, CONFIG);
      for (const gone of ["/var/lib/rum", "/var/cache/rum", "/usr/bin/deno"]) {
        await assert.rejects(Deno.stat(root + gone), Deno.errors.NotFound);
      }
      const script = COMMANDS.map(({ args }, i) =>
        `echo "<<<${i}"; (cd /project && env -i /usr/local/bin/rum ${args} 2>&1); echo "code=$?"\n`
      ).join("");
      const out = await run("unshare", [
        ...["--mount", "--pid", "--fork", "--kill-child"],
        ...["sh", "-c", INSIDE, "sh", root, built.rum, image],
      ], script);
      const parts = out.split(/^<<<\d+\n/m).slice(1);
      assert.equal(parts.length, COMMANDS.length, out);
      for (const [i, { args, says }] of COMMANDS.entries()) {
        assert.match(parts[i], /^code=0$/m, `rum ${args}:\n${parts[i]}`);
        assert.match(parts[i], says, args);
      }
      const left = [...Deno.readDirSync(`${root}/var/lib/rum`)].map((entry) => entry.name);
      assert.deepEqual(left.filter((name) => !name.startsWith(".")), []);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

async function run(program: string, args: readonly string[], stdin?: string): Promise<string> {
  const child = new Deno.Command(program, {
    args: [...args],
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(20 * 60_000),
  }).spawn();
  if (stdin !== undefined) {
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(stdin));
    await writer.close();
  }
  const { success, stdout, stderr } = await child.output();
  const text = new TextDecoder();
  assert.ok(success, `${program}: ${text.decode(stdout)}${text.decode(stderr)}`);
  return text.decode(stdout);
}
