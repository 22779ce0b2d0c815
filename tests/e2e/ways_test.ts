/**
 * Ways in and out of a real guest, as users take them: ports, ssh and its relatives, copies. The
 * programs are the host's own; nothing here knows the guest's address.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import * as dgram from "node:dgram";
import * as net from "node:net";
import { machineToml, sharedMachine } from "../support/machine.ts";
import { type Sandbox, sandbox } from "../support/rum.ts";

const FULL = Deno.env.get("FULL") === "1";
/** For the full sizes: an emulated guest on a busy machine takes 2 MiB or 30 files a second. */
const LONG = { timeoutMs: FULL ? 1_200_000 : 180_000 };
/** An echo server for TCP and UDP, in what every Debian guest has. */
const ECHO = `cat > /tmp/echo.pl <<'PERL'
use IO::Socket::INET;
$SIG{CHLD} = "IGNORE";
if (!fork) {
  my $u = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7007, Proto => "udp");
  while (1) { $u->recv(my $d, 65535); $u->send("udp $d"); }
}
my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7007, Listen => 128, ReuseAddr => 1);
while (my $c = $s->accept) {
  if (!fork) { while (sysread($c, my $d, 65536)) { my $o = 0; while ($o < length $d) { $o += syswrite($c, $d, length($d) - $o, $o) } } exit; }
  close $c;
}
PERL
setsid perl /tmp/echo.pl >/dev/null 2>&1 </dev/null &
for i in $(seq 200); do perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new("127.0.0.1:7007")' && exit 0; sleep 0.05; done; exit 1`;

function tcp(port: number, bytes: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const got: Uint8Array[] = [];
    socket.on("data", (chunk) => got.push(Uint8Array.from(chunk)));
    socket.on("end", () => resolve(new Uint8Array(got.flatMap((each) => [...each]))));
    socket.on("error", reject);
    socket.end(bytes);
  });
}

/** Sends for ever and reads what comes back; `flowing` after a MiB of it. */
function endlessEcho(port: number): { flowing: Promise<void>; ended: Promise<string> } {
  const socket = net.connect({ port, host: "127.0.0.1" });
  const { promise: flowing, resolve: flows, reject } = Promise.withResolvers<void>();
  const { promise: ended, resolve: ends } = Promise.withResolvers<string>();
  const chunk = new Uint8Array(65536).fill(7);
  let got = 0;
  const send = () => {
    while (!socket.destroyed && socket.write(chunk));
  };
  socket.on("drain", send);
  socket.on("data", (bytes) => {
    got += bytes.length;
    if (got > 2 ** 20) flows();
  });
  const end = (how: string) => {
    reject(new Error(`ended by ${how} after ${got} bytes`));
    ends(how);
    socket.destroy();
  };
  socket.on("end", () => end("FIN"));
  socket.on("error", (error: Error & { code?: string }) => end(error.code ?? error.message));
  socket.on("connect", send);
  return { flowing, ended };
}

function udp(port: number, text: string): Promise<string> {
  const socket = dgram.createSocket("udp4");
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const again = setInterval(() => socket.send(text, port, "127.0.0.1"), 500);
  const end = setTimeout(() => reject(new Error("no answer by UDP within 60 s")), 60_000);
  socket.on("message", (bytes) => resolve(String(bytes)));
  socket.send(text, port, "127.0.0.1");
  return promise.finally(() => {
    clearInterval(again);
    clearTimeout(end);
    socket.close();
  });
}

async function local(
  box: Sandbox,
  command: string,
  args: readonly string[],
): Promise<{ code: number; out: string; err: string }> {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    cwd: box.project,
    env: { ...box.env },
    clearEnv: true,
    stdin: "null",
  }).output();
  return {
    code,
    out: new TextDecoder().decode(stdout),
    err: new TextDecoder().decode(stderr),
  };
}

async function works(box: Sandbox, command: string, args: readonly string[]): Promise<string> {
  const { code, out, err } = await local(box, command, args);
  assert.equal(code, 0, `${command} ${args.join(" ")}\n${out}\n${err}`);
  return out;
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

Deno.test("ways in and out of a real guest", async (t) => {
  await using box = await sharedMachine();
  const files = await Deno.makeTempDir({ dir: box.home, prefix: "ways " });
  const add = async (forward: string) =>
    (await box.ok(["port", "add", forward, "-o", "json"])).json.forward.host as number;

  await t.step(
    "a forward added while running carries TCP with half-close, and shows in status",
    async () => {
      await box.ok(["exec", "--", "sh", "-c", ECHO]);
      const port = await add("0:7007");
      const sent = crypto.getRandomValues(new Uint8Array(60_000));
      assert.deepEqual(await tcp(port, sent), sent);
      const { json } = await box.ok(["status", "-o", "json"]);
      const row = json.forwards.find((each: { host: number }) => each.host === port);
      assert.deepEqual([row.state, row.origin, row.total], ["listening", "added", 1]);
    },
  );

  await t.step("UDP reaches the guest and comes back", async () => {
    const port = await add("0:7007/udp");
    assert.equal(await udp(port, "ping"), "udp ping");
  });

  await t.step("a port that nobody listens on in the guest resets, the forward stays", async () => {
    const port = await add("0:7999");
    await assert.rejects(tcp(port, new Uint8Array(1)), /ECONNRESET/);
    await box.ok(["port", "rm", String(port)]);
    await assert.rejects(tcp(port, new Uint8Array(1)), /ECONNREFUSED/);
  });

  await t.step(
    "rum.toml's ports and [auto_ports] are applied live, and taken back live",
    async () => {
      const path = `${box.project}/rum.toml`;
      const before = await Deno.readTextFile(path);
      const forwards = async () =>
        (await box.ok(["port", "ls", "-o", "json"])).json.forwards as {
          guest: number;
          host: number;
          origin: string;
        }[];
      try {
        await Deno.writeTextFile(
          path,
          `${before}\n[[ports]]\nhost = 0\nguest = 22\n\n[auto_ports]\nrange = "17000-17100"\n`,
        );
        await box.ok(["up", "-d"]);
        const ssh = (await forwards()).find((row) => row.guest === 22);
        assert.equal(ssh?.origin, "config");
        // Ready is earlier than sshd; `rum ssh` waits for it by itself, others do so.
        await box.ok(["wait", "--for", "port:22", "--timeout", "300s"], { timeoutMs: 310_000 });
        const banner = await tcp(ssh!.host, new Uint8Array(0));
        assert.match(new TextDecoder().decode(banner), /^SSH-2.0/);
        const listen = "IO::Socket::INET->new(LocalPort => 17017, Listen => 1) and sleep 600";
        const listener =
          `setsid perl -MIO::Socket::INET -e '${listen}' >/dev/null 2>&1 </dev/null &`;
        await box.ok(["exec", "--", "sh", "-c", listener]);
        let found;
        const end = performance.now() + 120_000;
        while (found === undefined && performance.now() < end) {
          found = (await forwards()).find((row) => row.guest === 17017);
        }
        assert.deepEqual([found?.host, found?.origin], [17017, "auto"]);
      } finally {
        await Deno.writeTextFile(path, before);
      }
      await box.ok(["up", "-d"]);
      assert.deepEqual((await forwards()).filter((row) => row.origin !== "added"), []);
    },
  );

  await t.step(
    "a daemon that is killed in mid-transfer resets it; the next one has the same ports",
    async () => {
      const port = await add("0:7007");
      const transfer = endlessEcho(port);
      await transfer.flowing;
      const { json } = await box.ok(["status", "-o", "json"]);
      Deno.kill(json.daemon.pid, "SIGKILL");
      // A reset, or a write that met it: never an end in order, which would pass for the whole answer.
      assert.match(await transfer.ended, /^(ECONNRESET|EPIPE)$/);
      await box.ok(["exec", "true"]);
      const sent = new TextEncoder().encode("after");
      assert.deepEqual(await tcp(port, sent), sent);
      await box.ok(["port", "rm", String(port)]);
    },
  );

  await t.step(
    "rum ssh runs commands with their exit codes, without having met the host before",
    async () => {
      const result = await box.rum(["ssh", "echo $0; whoami; exit 7"]);
      assert.equal(result.code, 7, result.stderr);
      assert.match(result.stdout, /\nrum\n$/);
      const root = await box.rum(["ssh", "-T", "-o", "LogLevel=ERROR", "sudo", "id", "-u"]);
      assert.deepEqual([root.code, root.stdout], [0, "0\n"], root.stderr);
    },
  );

  const config = `${box.home}/.ssh/config`;
  const F = ["-F", config];
  let host = "";
  await t.step("ssh-config --install twice is once, and keeps what was there", async () => {
    await Deno.mkdir(`${box.home}/.ssh`, { recursive: true });
    await Deno.writeTextFile(config, "Host other\n  User me\n");
    host = (await box.ok(["ssh-config", "--install", "-o", "json"])).json.host;
    const once = await Deno.readTextFile(config);
    await box.ok(["ssh-config", "--install"]);
    assert.equal(await Deno.readTextFile(config), once);
    assert.match(once, /Host other\n {2}User me\n$/);
    assert.equal(await works(box, "ssh", [...F, host, "echo", "in"]), "in\n");
  });

  await t.step("scp, sftp, rsync and git go the same way", async () => {
    await Deno.writeTextFile(`${files}/one file`, "content\n");
    await works(box, "scp", [...F, `${files}/one file`, `${host}:by scp`]);
    assert.equal(await works(box, "ssh", [...F, host, "cat 'by scp'"]), "content\n");
    await Deno.writeTextFile(`${files}/batch`, `put "${files}/one file" by-sftp\n`);
    await works(box, "sftp", [...F, "-b", `${files}/batch`, host]);
    assert.equal(await works(box, "ssh", [...F, host, "cat by-sftp"]), "content\n");
    if ((await box.rum(["exec", "command -v rsync"])).code === 0) {
      await works(box, "rsync", ["-e", `ssh -F ${config}`, "-a", `${files}/`, `${host}:by-rsync/`]);
    }
    if ((await box.rum(["exec", "command -v git"])).code === 0) {
      await works(box, "ssh", [...F, host, "git init -q --bare repo"]);
      await works(box, "git", [
        "-c",
        `core.sshCommand=ssh -F ${config}`,
        "ls-remote",
        `${host}:repo`,
      ]);
    }
  });

  await t.step("ssh-config --remove gives the file back as it was", async () => {
    await box.ok(["ssh-config", "--remove"]);
    assert.equal(await Deno.readTextFile(config), "Host other\n  User me\n");
  });

  await t.step("cp: a file in and out, bytes and digest, owner in the user's home", async () => {
    const size = FULL ? 256 * 2 ** 20 : 8 * 2 ** 20;
    const content = new Uint8Array(size);
    for (let at = 0; at < size; at += 65536) {
      crypto.getRandomValues(content.subarray(at, at + 65536));
    }
    await Deno.writeFile(`${files}/big`, content);
    const there = (await box.ok(["cp", `${files}/big`, ":big", "-o", "json"], LONG)).json;
    assert.deepEqual([there.bytes, there.digest], [size, sha256(content)]);
    assert.match((await box.ok(["exec", "stat -c %U /home/rum/big"])).stdout, /^rum$/m);
    await box.ok(["cp", ":big", `${files}/back`], LONG);
    assert.equal(sha256(await Deno.readFile(`${files}/back`)), there.digest);
  });

  await t.step("cp: stdin and stdout", async () => {
    await box.ok(["cp", "-", ":/tmp/piped"], { stdin: "piped\n" });
    assert.equal((await box.ok(["cp", ":/tmp/piped", "-"])).stdout, "piped\n");
  });

  await t.step("cp -r: a tree there and back is the same tree", async () => {
    const count = FULL ? 5000 : 200;
    for (let n = 0; n < count; n++) {
      await Deno.mkdir(`${files}/tree/${n % 13}`, { recursive: true });
      await Deno.writeTextFile(`${files}/tree/${n % 13}/a\nb ${n}`, `${n}`);
    }
    const { json } = await box.ok(["cp", "-r", `${files}/tree`, ":/tmp/", "-o", "json"], LONG);
    assert.equal(json.files, count);
    await box.ok(["cp", "-r", ":/tmp/tree", `${files}/again`], LONG);
    assert.equal(await works(box, "diff", ["-r", `${files}/tree`, `${files}/again`]), "");
  });

  await t.step("cp: a full target in the guest is disk_full and the old file stays", async () => {
    await box.ok([
      "exec",
      "--",
      "sh",
      "-c",
      "mkdir -p /tmp/small && mount -t tmpfs -o size=1m none /tmp/small && echo old > /tmp/small/f",
    ]);
    const full = await box.rum(["cp", `${files}/big`, ":/tmp/small/f", "-o", "json"], LONG);
    assert.equal(full.error.code, "disk_full", full.stderr);
    assert.equal(
      (await box.ok(["exec", "cat /tmp/small/f; ls -A /tmp/small | wc -l"])).stdout,
      "old\n1\n",
    );
    await box.ok(["exec", "umount /tmp/small"]);
  });

  await t.step("cp: kill -9 in the middle leaves the old file", async () => {
    await box.ok(["exec", "echo old > /tmp/target"]);
    const child = box.spawn(["cp", "-", ":/tmp/target"], { stdin: "" });
    const writer = child.stdin.getWriter();
    await writer.write(new Uint8Array(300_000).fill(1));
    child.kill("SIGKILL");
    await child.output();
    await writer.abort().catch(() => {});
    assert.equal((await box.ok(["exec", "cat /tmp/target"])).stdout, "old\n");
  });

  await Deno.remove(files, { recursive: true });
});

Deno.test("a taken host port stops up before anything is made, and names the holder", async () => {
  await using box = await sandbox({ prefix: "rum-ports-" });
  using taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr;
  await box.config(await machineToml({ toml: `[[ports]]\nhost = ${port}\nguest = 80\n` }));
  const up = await box.rum(["up", "-d", "-o", "json"]);
  assert.equal(up.code, 6, up.stderr);
  assert.equal(up.error.code, "port_in_use");
  assert.match(up.error.message, new RegExp(`127.0.0.1:${port}.*held by .*pid ${Deno.pid}`));
  const { json } = await box.ok(["status", "-o", "json"]);
  assert.notEqual(json.phase, "running");
  const disk = `${box.dataFolder}/${json.id}/overlay.qcow2`;
  await assert.rejects(Deno.stat(disk), Deno.errors.NotFound);
});
