/** What rum writes for ssh, read back by ssh itself: `ssh -G` prints what it understood. */
import assert from "node:assert/strict";
import {
  configPath,
  shellWord,
  sshBlock,
  sshClientConfig,
  type SshMachine,
} from "../../../src/cli/ssh_block.ts";
import { withInclude, withoutInclude } from "../../../src/cli/ssh_include.ts";
import { builtinCall } from "../../../src/cli/ssh_builtin.ts";
import { parseForward, parseHostPort } from "../../../src/cli/port.ts";
import { cpSides, guestPath, ownerOf } from "../../../src/cli/cp.ts";
import { copyLine } from "../../../src/cli/cp_progress.ts";
import { proxyOperands } from "../../../src/cli/proxy.ts";
import { knownHostsText } from "../../../src/store/known_hosts.ts";
import { RumError } from "../../../src/base/errors.ts";

function machine(folder: string): SshMachine {
  return {
    id: "0123abcd",
    name: "web",
    user: "rum",
    identity: `${folder}/ssh_ed25519`,
    knownHosts: `${folder}/known_hosts`,
    hostKeyAlias: "rum-0123abcd",
    self: [`${folder}/rum it's`],
    env: { XDG_DATA_HOME: folder },
  };
}

async function understood(config: string, host = "rum-web"): Promise<Map<string, string>> {
  const folder = await Deno.makeTempDir({ prefix: "rum-ssh-" });
  try {
    await Deno.writeTextFile(`${folder}/config`, config);
    const { stdout, stderr, code } = await new Deno.Command("ssh", {
      args: ["-G", "-F", `${folder}/config`, host],
    }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    return new Map(
      new TextDecoder().decode(stdout).trim().split("\n").map((line) => {
        const space = line.indexOf(" ");
        return [line.slice(0, space), line.slice(space + 1)];
      }),
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (
  const folder of [
    "/home/u/.local/share/rum/0123abcd",
    "/home/a user/data",
    "/srv/100% mine/x",
    '/srv/quo"te/back\\slash',
  ]
) {
  Deno.test(`ssh reads the block as it was meant: ${folder}`, async () => {
    const found = await understood(sshClientConfig(machine(folder)));
    assert.equal(found.get("hostname"), "rum-web");
    assert.equal(found.get("user"), "rum");
    assert.equal(found.get("hostkeyalias"), "rum-0123abcd");
    assert.equal(found.get("stricthostkeychecking"), "true");
    assert.equal(found.get("identitiesonly"), "yes");
    assert.equal(found.get("userknownhostsfile"), `${folder}/known_hosts`);
    // -G prints this one before it replaces its tokens.
    assert.equal(found.get("identityfile"), `${folder}/ssh_ed25519`.replaceAll("%", "%%"));
  });

  Deno.test(`the proxy command survives ssh and the shell: ${folder}`, async () => {
    const found = await understood(sshBlock(machine(folder)));
    // What ssh does with it: tokens, then a shell.
    const line = found.get("proxycommand")!
      .replaceAll(/%[hp%]/g, (token) => ({ "%h": "rum-web", "%p": "22", "%%": "%" })[token]!);
    const shown = new Deno.Command("sh", {
      args: ["-c", line.replace(/^env /, "set -- ") + '; printf "%s\\n" "$@"'],
    });
    const { stdout } = await shown.output();
    assert.deepEqual(new TextDecoder().decode(stdout).trimEnd().split("\n"), [
      `XDG_DATA_HOME=${folder}`,
      `${folder}/rum it's`,
      "-m",
      "0123abcd",
      "proxy",
      "rum-web",
      "22",
    ]);
  });
}

Deno.test("a path that ssh's syntax cannot say is refused, not mangled", () => {
  for (const path of ["/a\nb", "/a/${HOME}/b"]) assert.throws(() => configPath(path), RumError);
  assert.throws(() => shellWord("a\nb"), RumError);
});

Deno.test("the include is put on top once, taken away whole, and nothing else moves", () => {
  const data = "/home/u/.local/share/rum";
  for (const before of ["", "Host *\n  User me\n", "\n\n# mine", "Host a\r\n"]) {
    const installed = withInclude(before, data);
    assert.match(installed, /^# machines of rum.*\nInclude "\/home\/u\/\.local\/share\/rum\/\*/);
    assert.equal(withInclude(installed, data), installed);
    assert.equal(withoutInclude(installed, data), before);
    assert.equal(withoutInclude(before, data), before);
  }
});

Deno.test("known_hosts has the guest's public keys and nothing else it may have said", () => {
  const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ4 root@guest\n";
  const text = knownHostsText("0123abcd", [
    key,
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ4\n* ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAB",
    "garbage",
    "",
  ]);
  const line = "rum-0123abcd ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ4\n";
  assert.equal(text, line + line);
});

Deno.test("the built-in client knows the options it serves and refuses the others by name", () => {
  assert.deepEqual(builtinCall([]), { command: "" });
  assert.deepEqual(builtinCall(["-t", "-l", "root", "ls", "-la"]), {
    user: "root",
    tty: true,
    command: "ls -la",
  });
  assert.deepEqual(builtinCall(["--", "-x"]), { command: "-x" });
  assert.throws(() => builtinCall(["-L", "1:2:3"]), { code: "not_supported", message: /-L/ });
});

Deno.test("forwards on the command line", () => {
  const tcp = { bind: "127.0.0.1", proto: "tcp" };
  assert.deepEqual(parseForward("80"), { ...tcp, host: 80, guest: 80 });
  assert.deepEqual(parseForward("8080:80"), { ...tcp, host: 8080, guest: 80 });
  assert.deepEqual(parseForward("0:80"), { ...tcp, host: 0, guest: 80 });
  assert.deepEqual(parseForward("[::1]:53:5353/udp"), {
    bind: "::1",
    host: 53,
    guest: 5353,
    proto: "udp",
  });
  assert.deepEqual(parseHostPort("0.0.0.0:80"), { bind: "0.0.0.0", host: 80 });
  for (const wrong of ["", "x", "80:", ":80", "1:2:3:4", "80:0", "99999", "80/sctp", "::1:5:6"]) {
    assert.throws(() => parseForward(wrong), RumError, wrong);
  }
});

Deno.test("proxy takes a port, or ssh's %h %p", () => {
  assert.deepEqual(proxyOperands(["22"]), { port: 22 });
  assert.deepEqual(proxyOperands(["rum-web", "22"]), { host: "rum-web", port: 22 });
  for (const wrong of [["x"], ["0"], ["65536"], ["a", "b"], []]) {
    assert.throws(() => proxyOperands(wrong), RumError);
  }
});

Deno.test("cp: which side is the guest's, where its paths begin, and whose the copy is", () => {
  assert.deepEqual(cpSides(["a", ":b"]), { direction: "to_guest", host: "a", guest: "b" });
  assert.deepEqual(cpSides([":", "-"]), { direction: "from_guest", host: "-", guest: "" });
  for (const wrong of [["a", "b"], [":a", ":b"]]) assert.throws(() => cpSides(wrong), RumError);
  const rows = [
    ["", "/home/u"],
    ["x", "/home/u/x"],
    ["x/", "/home/u/x/"],
    ["x/.", "/home/u/x/."],
    ["~/x", "/home/u/x"],
    ["/etc/../srv", "/srv"],
    ["/", "/"],
  ];
  for (const [path, wanted] of rows) assert.equal(guestPath(path, "/home/u"), wanted);
  assert.equal(ownerOf("/home/rum/x", "rum"), "rum");
  assert.equal(ownerOf("/home/rummy", "rum"), undefined);
  assert.equal(ownerOf("/etc/x", "rum"), undefined);
});

Deno.test("cp: the progress line", () => {
  const MiB = 2 ** 20;
  assert.equal(copyLine("f", { done: MiB, ms: 10 }), "f: 1 MiB");
  assert.equal(
    copyLine("f", { done: 64 * MiB, total: 256 * MiB, ms: 1000 }),
    "f: 64 MiB of 256 MiB (25%), 64 MiB/s, 3.0 s left",
  );
});
