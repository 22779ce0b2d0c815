import assert from "node:assert/strict";
import { applyKeys } from "../../../agent/apply/user.ts";

const ACCOUNT = { name: "app", uid: 1234, gid: 1235, shell: "/bin/sh" };

Deno.test("authorized_keys is its user's, also after a kill between its writing and its chown", async () => {
  const home = await Deno.makeTempDir({ prefix: "rum-keys-" });
  try {
    const account = { ...ACCOUNT, home };
    const path = `${home}/.ssh/authorized_keys`;
    const owner = () => {
      const { uid, gid, mode } = Deno.lstatSync(path);
      return { uid, gid, mode: mode! & 0o777 };
    };
    const theirs = { uid: 1234, gid: 1235, mode: 0o600 };
    assert.equal(await applyKeys(account, ["ssh-ed25519 AAAA one"]), true);
    assert.deepEqual(owner(), theirs);
    assert.equal(await applyKeys(account, ["ssh-ed25519 AAAA one"]), false);

    // As that kill leaves it: the content is right, and sshd may not read it.
    Deno.chownSync(path, 0, 0);
    assert.equal(await applyKeys(account, ["ssh-ed25519 AAAA one"]), true);
    assert.deepEqual(owner(), theirs);
    assert.equal(
      Deno.readTextFileSync(path),
      "# begin rum\nssh-ed25519 AAAA one\n# end rum\n",
    );
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
