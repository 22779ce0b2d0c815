/** A real sshd behind the agent: proxied, pinned, and served by rum's own client. */
import assert from "node:assert/strict";
import { isPinned, runOverSsh } from "../../src/cli/ssh_builtin.ts";
import { pinHostKeys } from "../../src/store/known_hosts.ts";
import { readHostKeys } from "../../src/guest/host_keys.ts";
import { type CpBed, cpBed } from "../support/cp_bed.ts";

interface Sshd extends AsyncDisposable {
  readonly port: number;
  readonly identity: string;
  readonly publicKey: string;
}

/** An sshd of our own on a free port; root only, as sshd needs it for other users. */
async function sshd(folder: string): Promise<Sshd> {
  for (const name of ["host", "user"]) {
    const made = await new Deno.Command("ssh-keygen", {
      args: ["-q", "-t", "ed25519", "-N", "", "-f", `${folder}/${name}`],
    }).output();
    assert.ok(made.success);
  }
  await Deno.copyFile(`${folder}/user.pub`, `${folder}/authorized`);
  await Deno.mkdir("/run/sshd", { recursive: true });
  using probe = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = probe.addr;
  probe.close();
  const child = new Deno.Command("/usr/sbin/sshd", {
    args: ["-D", "-e", "-f", "/dev/null", "-p", String(port)].concat(
      [
        "ListenAddress=127.0.0.1",
        `HostKey=${folder}/host`,
        `AuthorizedKeysFile=${folder}/authorized`,
        "StrictModes=no",
        "PidFile=none",
        "PermitRootLogin=yes",
        "UsePAM=no",
      ].flatMap((each) => ["-o", each]),
    ),
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const lines = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; !text.includes("Server listening");) {
    const { value, done } = await lines.read();
    assert.ok(!done, text);
    text += value;
  }
  const drained = (async () => {
    while (!(await lines.read()).done);
  })();
  return {
    port,
    identity: `${folder}/user`,
    publicKey: `${folder}/host.pub`,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await drained;
    },
  };
}

const QUIET = { tty: false, term: "xterm", rawStdin: false };

async function session(bed: CpBed, server: Sshd, command: string): Promise<number> {
  const stream = bed.proxy(server.port);
  const machine = { user: "root", identity: server.identity, knownHosts: bed.knownHosts };
  try {
    return await runOverSsh(stream, machine, { ...QUIET, command });
  } finally {
    stream.abort();
    await stream.ended;
  }
}

const ROOT = { ignore: Deno.uid() !== 0 };

Deno.test(
  "without an ssh program a command runs, with its exit code, on a pinned key only",
  ROOT,
  async () => {
    await using bed = await cpBed();
    await using server = await sshd(bed.host);
    await assert.rejects(session(bed, server, "true"), {
      code: "agent_error",
      message: /ssh into/,
    });
    const keys = await readHostKeys(bed.client, [server.publicKey, "/no/such/key.pub"]);
    await pinHostKeys({ id: "deadbeef", knownHosts: bed.knownHosts }, keys);
    assert.equal(await session(bed, server, `touch ${bed.guest}/ran; exit 7`), 7);
    assert.deepEqual(bed.names(bed.guest), ["ran"]);
  },
);

Deno.test(
  "OpenSSH through a proxied stream accepts the pinned key and no other",
  ROOT,
  async () => {
    await using bed = await cpBed();
    await using server = await sshd(bed.host);
    const keys = await readHostKeys(bed.client, [server.publicKey]);
    await pinHostKeys({ id: "deadbeef", knownHosts: bed.knownHosts }, keys);
    const [, blob] = keys[0].split(" ");
    assert.ok(isPinned(Uint8Array.fromBase64(blob), bed.knownHosts));
    assert.ok(!isPinned(new Uint8Array(32), bed.knownHosts));
    // A listener in front, as ProxyCommand would be: each connection is one proxy call.
    using front = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const serving = (async () => {
      for await (const connection of front) {
        const stream = bed.proxy(server.port);
        connection.readable.pipeTo(stream.writable).catch(() => {});
        stream.readable.pipeTo(connection.writable).catch(() => {});
      }
    })();
    const ssh = async (alias: string) =>
      await new Deno.Command("ssh", {
        args: ["-F", "/dev/null", "-p", String(front.addr.port), "-i", server.identity, "-n"]
          .concat(
            [
              `UserKnownHostsFile=${bed.knownHosts}`,
              "GlobalKnownHostsFile=/dev/null",
              `HostKeyAlias=${alias}`,
              "StrictHostKeyChecking=yes",
              "CheckHostIP=no",
            ].flatMap((each) => ["-o", each]),
          ).concat("root@127.0.0.1", "head -c 1000000 /dev/zero; exit 3"),
      }).output();
    const good = await ssh("rum-deadbeef");
    assert.deepEqual([good.code, good.stdout.length], [3, 1_000_000]);
    assert.equal((await ssh("rum-somebody")).code, 255);
    front.close();
    await serving.catch(() => {});
  },
);

Deno.test("proxy: half-close passes both ways, a refusing port is an error at once", async () => {
  await using bed = await cpBed();
  using server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const served = (async () => {
    const connection = await server.accept();
    const text = await new Response(connection.readable).text();
    return text;
  })();
  const stream = bed.proxy(server.addr.port);
  const writer = stream.writable.getWriter();
  await writer.write(new TextEncoder().encode("all of it"));
  await writer.close();
  assert.equal(await served, "all of it");
  await stream.ended;

  using free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr;
  free.close();
  const refused = bed.proxy(port);
  await refused.ended;
  assert.match(refused.failure?.message ?? "", /Cannot connect to port/);
  await assert.rejects(new Response(refused.readable).text());
});
