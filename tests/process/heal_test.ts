/**
 * What the next command does about a daemon that was killed, hangs, or was never one; and that
 * nothing which is not ours is signalled or deleted on the way.
 */
import assert from "node:assert/strict";
import { VERSION } from "../../src/base/version.ts";
import { greet } from "../../src/daemon/handshake.ts";
import { publishSocket } from "../../src/daemon/publish.ts";
import { ensureToken } from "../../src/daemon/token.ts";
import { unixDuplex } from "../../src/daemon/unix_duplex.ts";
import { describeHolder, tryFlock } from "../../src/store/flock.ts";
import { FrameReader, FrameWriter } from "../../src/wire/frames.ts";
import { alive, fakeWorld, kill, until } from "../support/fake_guest.ts";

Deno.test("kill -9 of the daemon: the machine is untouched, the next command heals and says so", async () => {
  await using world = await fakeWorld({ prefix: "rum-heal-" });
  await world.ok(["up", "-d"]);
  const before = await world.record();
  const daemon = (await world.holder())!;
  kill(daemon);
  await until("the daemon is dead", async () => !await alive(daemon));
  const recorded = await world.status();
  assert.equal(recorded.as_recorded, true);
  assert.equal(recorded.phase, "running");
  assert.equal(recorded.daemon.state, "absent");
  const { stderr, stdout } = await world.ok(["exec", "echo", "here"]);
  assert.equal(stdout, "here\n");
  assert.match(stderr, /background process was gone.*daemon\.log/s);
  assert.equal((await world.record())?.pid, before?.pid, "the machine was not touched");
  assert.equal((await world.boots()).length, 1);
  const healed = await world.status();
  assert.equal(healed.as_recorded, false);
  assert.notEqual(healed.daemon.pid, daemon);
});

Deno.test({
  name:
    "disks and seed that libvirt gave to QEMU's user: the next daemon takes the machine up, stops and starts it",
  ignore: Deno.uid() !== 0,
  async fn() {
    await using world = await fakeWorld({
      prefix: "rum-heal-",
      toml: '[drives.data]\nsize = "256M"\n',
    });
    await world.ok(["up", "-d"]);
    const disk = await world.disk();
    for await (const { name } of Deno.readDir(world.paths.folder)) {
      if (!/^(overlay|drive-.*|seed-.*)\.(qcow2|iso)$/.test(name)) continue;
      await Deno.chown(`${world.paths.folder}/${name}`, 64055, 64055);
    }
    kill((await world.holder())!);
    await world.settled();
    assert.equal((await world.ok(["exec", "echo", "here"])).stdout, "here\n");
    await world.ok(["down"]);
    // As a power cut leaves them: the machine is off, and nobody gave them back.
    await world.configure('[drives.data]\nsize = "512M"\n');
    await world.ok(["up", "-d"]);
    assert.equal(await world.disk(), disk);
    await world.ok(["daemon", "restart"]);
    await world.ok(["destroy", "-y"]);
  },
});

Deno.test("what a daemon wrote of this boot's scripts the next one does not write again, and what came between once", async () => {
  await using world = await fakeWorld({
    prefix: "rum-heal-logs-",
    toml: `[provision.system]
script = "echo made"
[provision.boot]
script = """
echo one
while [ ! -e /home/rum/two ]; do sleep 0.05; done
echo two
while [ ! -e /home/rum/three ]; do sleep 0.05; done
echo three
"""`,
  });
  const home = async () => `/disks/${(await world.boots())[0].split(" ")[1]}/home/rum`;
  const log = async (name: string) => {
    const text = await Deno.readTextFile(world.paths.scriptLog(name)).catch(() => "");
    return text.split("\n").slice(0, -1).map((line) => line.replace(/^\S+Z . /, ""));
  };
  const first = world.rum(["up", "-d"]);
  await until("the script is half-way", async () => (await log("boot")).includes("one"));
  kill((await world.holder())!);
  const { code, stderr } = await first;
  assert.notEqual(code, 0);
  assert.match(stderr, /background process went away/);
  assert.equal(stderr.split("its log ends with").length, 2, stderr);
  await world.settled();
  await Deno.writeTextFile(`${world.folder}${await home()}/two`, "");
  await Deno.writeTextFile(`${world.folder}${await home()}/three`, "");
  await world.ok(["up", "-d"]);
  const whole = [/^\[started, boot /, /^one$/, /^two$/, /^three$/, /^\[ended with 0\]$/];
  const check = async () => {
    const boot = await log("boot");
    assert.equal(boot.length, whole.length, boot.join("\n"));
    whole.forEach((pattern, i) => assert.match(boot[i], pattern));
    assert.equal((await log("system")).length, 3);
    const { stdout } = await world.ok(["events", "-o", "json"]);
    const told = stdout.trim().split("\n").map((line) => JSON.parse(line))
      .filter(({ kind }) => kind === "script").map(({ script, state }) => `${script} ${state}`);
    assert.deepEqual(told, ["system started", "system passed", "boot started", "boot passed"]);
  };
  await check();
  kill((await world.holder())!);
  await world.settled();
  await world.ok(["exec", "true"]);
  await check();
  await world.ok(["daemon", "restart"]);
  await world.ok(["exec", "true"]);
  await check();
});

Deno.test("a failed script stays failed through a new daemon, which serves the guest; only provision and up run it again", async () => {
  await using world = await fakeWorld({ prefix: "rum-heal-failed-" });
  const ran = `${world.folder}/ran`;
  const times = async () => (await Deno.readTextFile(ran)).split("\n").length - 1;
  await world.configure(`[provision.system]\nscript = "echo x >> ${ran}; exit 3"\n`);
  assert.equal((await world.rum(["up", "-d"])).code, 10);
  const agentUp = () =>
    until("the agent is there", async () => (await world.status()).agent.state === "up");
  const serves = async () => {
    assert.equal((await world.ok(["exec", "echo", "here"])).stdout, "here\n");
    await Deno.writeTextFile(`${world.box.project}/in`, "content");
    await world.ok(["cp", "in", ":/etc/out"]);
    assert.equal((await world.ok(["exec", "cat", "/etc/out"])).stdout, "content");
    assert.match((await world.ok(["log", "--failed"])).stdout, /ended with 3/);
    await agentUp();
    const status = await world.status();
    assert.equal(status.text, "failed (provision_failed, running)");
    assert.match(status.cause.message, /exit code 3/);
  };
  kill((await world.holder())!);
  await world.settled();
  await serves();
  await world.ok(["daemon", "restart"]);
  await serves();
  assert.equal(await times(), 1, "nobody asked for it again");
  assert.equal((await world.rum(["provision"])).code, 10);
  assert.equal(await times(), 2);
  await world.ok(["daemon", "restart"]);
  assert.equal((await world.rum(["up", "-d"])).code, 10);
  assert.equal(await times(), 3);
  await world.ok(["daemon", "restart"]);
  await world.configure(`[provision.system]\nscript = "echo x >> ${ran}"\n`);
  await world.ok(["provision"]);
  assert.deepEqual([await times(), (await world.status()).text], [4, "running (detached, ready)"]);
  assert.equal((await world.boots()).length, 1, "the machine was not touched");
});

Deno.test("a paused machine under a new daemon: up and resume go on with the same boot, and no reboot is told", async () => {
  await using world = await fakeWorld({
    prefix: "rum-heal-paused-",
    toml: `[provision.boot]\nscript = "echo here"\n`,
  });
  await world.ok(["up", "-d"]);
  const ready = () =>
    until("the machine is ready", async () => {
      const { ready, agent } = await world.status();
      return ready === true && agent.state === "up";
    });
  await world.ok(["pause"]);
  await world.ok(["daemon", "restart"]);
  assert.equal((await world.status()).text, "paused (asked)");
  await world.ok(["up", "-d"]);
  await ready();
  await world.ok(["pause"]);
  kill((await world.holder())!);
  await world.settled();
  await world.ok(["resume"]);
  await ready();
  const { stdout } = await world.ok(["events", "-o", "json"]);
  const told = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(told.filter(({ what }) => what === "rebooted"), []);
  assert.equal(
    told.filter(({ kind, state }) => kind === "script" && state === "started").length,
    1,
  );
  assert.equal((await world.boots()).length, 1);
});

Deno.test("SIGSTOP of the daemon: status says hung, down ends it and stops the machine", async () => {
  await using world = await fakeWorld({ prefix: "rum-hung-" });
  await world.ok(["up", "-d"]);
  const daemon = (await world.holder())!;
  kill(daemon, "SIGSTOP");
  const started = performance.now();
  const { json } = await world.ok(["status", "-o", "json"]);
  const tookMs = performance.now() - started;
  assert.equal(json.daemon.state, "hung");
  assert.equal(json.daemon.pid, daemon);
  console.log(`status of a hung daemon: ${Math.round(tookMs)} ms`);
  await world.ok(["down"]);
  assert.ok(!await alive(daemon), "the hung daemon was ended");
  assert.ok(!await world.powered());
  assert.equal((await world.status()).phase, "stopped");
  await world.ok(["up", "-d"]);
});

Deno.test("CTR-D005: what stands at the socket's name and is no socket of ours is refused, not deleted", async (t) => {
  await using world = await fakeWorld({ prefix: "rum-name-" });
  await world.ok(["up", "-d"]);
  await world.ok(["daemon", "stop"]);
  await world.settled();
  const { socket } = world.paths;
  const refused = async (found: RegExp) => {
    for (const args of [["up", "-d"], ["down"], ["destroy", "-y"], ["exec", "true"]]) {
      const { code, stderr } = await world.rum(args);
      assert.notEqual(code, 0, `rum ${args.join(" ")} went over it`);
      assert.match(stderr, found, `rum ${args.join(" ")}`);
    }
    assert.ok(await world.powered(), "the machine was touched");
  };
  await t.step("a regular file", async () => {
    await Deno.writeTextFile(socket, "mine");
    await refused(/regular file/);
    assert.equal(await Deno.readTextFile(socket), "mine");
    await Deno.remove(socket);
  });
  await t.step("a symbolic link", async () => {
    await Deno.symlink("/dev/null", socket);
    await refused(/symbolic link/);
    assert.equal(await Deno.readLink(socket), "/dev/null");
    await Deno.remove(socket);
  });
  await t.step("a socket that somebody else serves", async () => {
    const foreign = Deno.listen({ transport: "unix", path: socket });
    const served = (async () => {
      for await (const conn of foreign) {
        await conn.write(new TextEncoder().encode("220 mail.example ESMTP\r\n")).catch(() => {});
        conn.close();
      }
    })();
    const { ino } = await Deno.lstat(socket);
    await refused(/another process listens there|neither ok nor error|protocol|frame/i);
    assert.equal((await Deno.lstat(socket)).ino, ino);
    foreign.close();
    await served;
  });
  await world.ok(["up", "-d"]);
});

Deno.test("a pid in daemon.json and in the lock file that is somebody else's by now: nobody is signalled", async () => {
  await using world = await fakeWorld({ prefix: "rum-pid-" });
  await world.ok(["up", "-d"]);
  const daemon = (await world.holder())!;
  kill(daemon);
  await until("the daemon is dead", async () => !await alive(daemon));
  const innocent = new Deno.Command("sleep", { args: ["600"] }).spawn();
  for (const path of [world.paths.daemonJson, world.paths.lock]) {
    const record = JSON.parse(await Deno.readTextFile(path));
    await Deno.writeTextFile(path, JSON.stringify({ ...record, pid: innocent.pid }));
  }
  await Deno.writeTextFile(world.paths.pid, `${innocent.pid}\n`);
  await world.status();
  await world.ok(["down"]);
  await world.ok(["up", "-d"]);
  await world.ok(["destroy", "-y"]);
  assert.ok(await alive(innocent.pid), "an innocent process was ended");
  innocent.kill("SIGKILL");
  await innocent.status;
});

Deno.test("a full disk in mid-boot: up says so by name, down works, and with room up goes on", async () => {
  await using world = await fakeWorld({
    prefix: "rum-full-",
    toml: '[provision.system]\nscript = "echo x >> /home/rum/ran"\n',
  });
  // Everything that is recorded from the start of the boot on meets a full disk.
  const fault = ["state.json@3+", "domain.xml", "token@2+"].map((at) => {
    const [file, nth] = at.split("@");
    return `write.${file}.begun${nth === undefined ? "" : `@${nth}`}:enospc`;
  });
  const full = await world.rum(["up", "-d"], { env: { RUM_TEST_FAULT: fault.join(",") } });
  assert.notEqual(full.code, 0);
  assert.match(full.stderr, /no space is left on the disk/);
  assert.match(full.stderr, /df -h/);
  const disk = await world.disk();
  await world.ok(["down"]);
  await world.ok(["daemon", "stop"]);
  await world.settled();
  await world.ok(["up", "-d"]);
  assert.equal(await world.disk(), disk);
  assert.equal((await world.ok(["exec", "cat /home/rum/ran"])).stdout, "x\n");
});

Deno.test("a daemon that ends just as up asks it: up goes on with the next one", async () => {
  await using world = await fakeWorld({ prefix: "rum-ending-" });
  await world.ok(["up", "-d"]);
  await world.ok(["down"]);
  await world.settled();
  const lock = await tryFlock(
    world.paths.lock,
    await describeHolder({ role: "daemon", operation: "serving" }),
  );
  assert.ok(lock !== undefined);
  const token = await ensureToken(world.paths.daemonToken);
  const published = await publishSocket(world.paths);
  let asked = 0;
  const serving = (async () => {
    for await (const conn of published.listener) {
      const duplex = unixDuplex(conn as Deno.UnixConn);
      const reader = new FrameReader(duplex.readable);
      const writer = new FrameWriter(duplex.writable);
      await greet(reader, writer, {
        info: { version: VERSION, build: "x", capabilities: [], configHash: () => undefined },
        token: () => Promise.resolve(token),
      });
      for (let frame = await reader.next(); frame !== undefined; frame = await reader.next()) {
        const { id, method } = frame.value as { id: number; method: string };
        if (method === "ping") await writer.send({ id, result: {} });
        else break;
      }
      // Asked, and gone without an answer.
      asked++;
      published.listener.close();
      duplex.abort();
    }
  })();
  const up = world.ok(["up", "-d"]);
  await until("it was asked", () => asked === 1);
  await serving.catch(() => {});
  await published.remove();
  await lock.release();
  await up;
  assert.equal((await world.status()).phase, "running");
  assert.equal(asked, 1);
});

Deno.test("a machine that nothing was recorded of goes with destroy, though its rum.toml is gone", async () => {
  await using world = await fakeWorld({ prefix: "rum-nothing-" });
  const folder = `${world.paths.folder.slice(0, -world.id.length)}0badcafe`;
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/config_path`, `${world.box.project}/gone.toml\n`);
  const { json } = await world.ok(["list", "-o", "json"]);
  assert.deepEqual(json.machines.map((each: { id: string }) => each.id), ["0badcafe"]);
  await world.ok(["-m", "0badcafe", "destroy", "-y"]);
  await assert.rejects(Deno.stat(folder), Deno.errors.NotFound);
});

Deno.test("a hypervisor that stops answering is told, by event and by status, until it is back", async () => {
  await using world = await fakeWorld({ prefix: "rum-lost-" });
  await world.ok(["up", "-d"]);
  const events = async (kind: string) => {
    const { stdout } = await world.ok(["events", "-o", "json"]);
    return stdout.trim().split("\n").map((line) => JSON.parse(line))
      .filter((event) => event.kind === kind);
  };
  const degraded = async () =>
    ((await world.status()).degraded as string[]).filter((text) => /hypervisor/.test(text));
  assert.deepEqual(await degraded(), []);

  await world.behave({ lost: "libvirtd stopped" });
  await until("status says so", async () => (await degraded()).length > 0);
  assert.match((await degraded()).join("\n"), /does not answer \(libvirtd stopped\).*seen last/);
  const [told] = (await events("warning")).filter((e) => e.code === "hypervisor_unreachable");
  assert.match(told?.text, /connection to the hypervisor at fake:.* was lost \(libvirtd stopped\)/);
  // Nothing is made of it: it is the machine that counts.
  assert.equal((await world.status()).phase, "running");
  assert.equal((await world.ok(["exec", "echo", "here"])).stdout, "here\n");

  await world.behave({});
  await until("it is gone from status", async () => (await degraded()).length === 0);
  assert.match((await events("note")).map((e) => e.text).join("\n"), /hypervisor .*answers again/);
});
