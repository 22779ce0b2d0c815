/**
 * The QEMU driver through all three doors, each with a real guest (512 bytes of boot sector): a whole
 * life with console, channel, screenshot and events, and an owner killed with -9 whose machine is
 * found again by the next one. Ordinary user and system daemon are made by the test; both need root.
 */
import { makeSessionUser } from "../support/session_user.ts";
import { play, startAndKillOwner, storyId, type StoryPlace } from "../support/qemu_stories.ts";
import { startSystemLibvirtd } from "../support/system_libvirtd.ts";

const NOT_ROOT = Deno.uid() !== 0;

async function bothStories(place: Omit<StoryPlace, "id">): Promise<void> {
  await play("whole", { ...place, id: storyId() });
  const id = storyId();
  await startAndKillOwner({ ...place, id });
  await play("find-again", { ...place, id });
}

Deno.test("hypervisor on embed: a whole life, and a machine whose owner was killed is found again", async () => {
  const folder = await Deno.makeTempDir({ prefix: "rum-emb-" });
  try {
    const uri = `qemu:///embed?root=${folder}/r`;
    await bothStories({ uri, kind: "embed", folder, cache: `${folder}/cache` });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name: "hypervisor on session: a whole life as an ordinary user, and the machine found again",
  ignore: NOT_ROOT,
  async fn() {
    await using user = await makeSessionUser();
    const { home: folder } = user;
    await bothStories({ uri: "qemu:///session", kind: "session", folder, cache: "", as: user });
  },
});

Deno.test({
  name: "hypervisor on system: a whole life under the stock qemu.conf, and the machine found again",
  ignore: NOT_ROOT,
  async fn() {
    await using system = await startSystemLibvirtd();
    const { uri, folder } = system;
    await bothStories({ uri, kind: "system", folder, cache: "" });
  },
});
