/**
 * The built file in the hands of an ordinary user: libvirt's per-user session, no root anywhere, the
 * same image. What a person who just downloaded rum does.
 */
import assert from "node:assert/strict";
import { builtRum } from "../support/built.ts";
import { testImage } from "../support/machine.ts";
import { sharedCache } from "../support/rum.ts";
import { makeSessionUser } from "../support/session_user.ts";

Deno.test({
  name: "an ordinary user's session: the built file, up -d, exec, down, destroy",
  ignore: Deno.uid() !== 0,
  async fn() {
    await testImage();
    await using built = await builtRum();
    await using user = await makeSessionUser();
    const project = `${user.home}/project`;
    const image = `${project}/base.qcow2`;
    const rum = async (...args: string[]) => {
      const child = await new Deno.Command(user.command(built.rum)[0], {
        args: [...user.command(built.rum).slice(1), "-c", `${project}/rum.toml`, ...args],
        cwd: "/",
        env: user.env,
        clearEnv: true,
        stdin: "null",
      }).output();
      const text = new TextDecoder();
      return { code: child.code, out: text.decode(child.stdout), err: text.decode(child.stderr) };
    };
    const ok = async (...args: string[]) => {
      const result = await rum(...args);
      assert.equal(result.code, 0, `rum ${args.join(" ")}\n${result.out}\n${result.err}`);
      return result.out;
    };
    await Deno.mkdir(project);
    await Deno.copyFile(await cachedImage(), image);
    await Deno.writeTextFile(
      `${project}/rum.toml`,
      `name = "session"\n[image]\nbase = "base.qcow2"\n[resources]\nmemory = "1G"\n`,
    );
    const { uid, gid } = await Deno.stat(user.home);
    for (const path of [project, image, `${project}/rum.toml`]) {
      await Deno.chown(path, uid!, gid!);
    }

    await ok("up", "-d");
    const status = JSON.parse(await ok("status", "-o", "json"));
    assert.equal(status.hypervisor.uri, "qemu:///session");
    assert.equal(await ok("exec", "--", "id", "-un"), "root\n");
    assert.equal((await Deno.stat(`/proc/${status.daemon.pid}`)).uid, uid);
    await ok("down");
    await ok("destroy", "-y");
    assert.equal(JSON.parse(await ok("status", "-o", "json")).phase, "absent");
  },
});

async function cachedImage(): Promise<string> {
  const folder = `${sharedCache()}/rum/images`;
  let largest = { path: "", size: 0 };
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.endsWith(".qcow2")) continue;
    const { size } = await Deno.stat(`${folder}/${name}`);
    if (size > largest.size) largest = { path: `${folder}/${name}`, size };
  }
  assert.notEqual(largest.path, "", `no image in ${folder}`);
  return largest.path;
}
