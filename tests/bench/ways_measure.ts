/**
 * Ways in and out against OpenSSH, in the same guest and the same run: each function gives pairs of
 * ours and the peer's, taken turn by turn so that a busy host burdens both. The caller makes medians.
 */
import * as net from "node:net";
import { connectDaemon } from "../../src/daemon/client.ts";
import { machinePaths, rumPaths } from "../../src/plan/paths.ts";
import type { Sandbox } from "../support/rum.ts";

export interface Pair {
  readonly ours: number;
  readonly peer: number;
}

export interface Measured {
  readonly what: string;
  readonly unit: "MiB/s" | "ms";
  /** For MiB/s more is better, for ms less. */
  readonly pairs: readonly Pair[];
}

export interface Rig {
  readonly box: Sandbox;
  /** An ssh configuration with the machine's block, and its host name. */
  readonly config: string;
  readonly host: string;
  readonly rounds: number;
}

const MIB = 2 ** 20;
/** Sends as many MiB as the first line asks for. */
const SOURCE = `use IO::Socket::INET; $SIG{CHLD} = "IGNORE"; my $b = "x" x 65536;
my $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7008, Listen => 128, ReuseAddr => 1);
while (my $c = $s->accept) { if (!fork) { my $n = <$c>; for (1 .. $n * 16) { my $o = 0; while ($o < 65536) { my $w = syswrite($c, $b, 65536 - $o, $o); last unless $w; $o += $w } } close $c; exit } close $c }`;

export async function prepareRig(box: Sandbox, rounds: number): Promise<Rig> {
  const { host, config } = (await box.ok(["ssh-config", "-o", "json"])).json;
  const path = `${box.home}/bench_ssh_config`;
  await Deno.writeTextFile(path, config);
  await box.ok(["cp", "-", ":/tmp/source.pl"], { stdin: SOURCE });
  await box.ok([
    "exec",
    "--",
    "sh",
    "-c",
    "setsid perl /tmp/source.pl >/dev/null 2>&1 </dev/null &",
  ]);
  return { box, host, config: path, rounds };
}

/** Throughput and the time of one small exchange, through a forward and through `ssh -L`. */
export async function measureForwards(rig: Rig, mib: number): Promise<Measured[]> {
  const { json } = await rig.box.ok(["port", "add", "0:7008", "-o", "json"]);
  const ours = json.forward.host as number;
  const peer = freePort();
  await using _tunnel = await tunnel(rig, peer, 7008);
  const bulk: Pair[] = [];
  const small: Pair[] = [];
  for (let n = 0; n < rig.rounds; n++) {
    bulk.push({ ours: mib / await pull(ours, mib), peer: mib / await pull(peer, mib) });
    small.push({ ours: await pull(ours, 0) * 1000, peer: await pull(peer, 0) * 1000 });
  }
  await rig.box.ok(["port", "rm", String(ours)]);
  return [
    { what: "forward, guest to host", unit: "MiB/s", pairs: bulk },
    { what: "forward, connection set-up and answer", unit: "ms", pairs: small },
  ];
}

/** `rum cp` against scp, a file of random bytes both ways. */
export async function measureCopies(rig: Rig, mib: number): Promise<Measured[]> {
  const { box, config, host } = rig;
  const file = `${box.home}/bench_file`;
  const content = new Uint8Array(mib * MIB);
  for (let at = 0; at < content.length; at += 65536) {
    crypto.getRandomValues(content.subarray(at, at + 65536));
  }
  await Deno.writeFile(file, content);
  const scp = (...args: string[]) => run(box, "scp", ["-q", "-F", config, ...args]);
  const into: Pair[] = [];
  const out: Pair[] = [];
  for (let n = 0; n < rig.rounds; n++) {
    into.push({
      ours: mib / await timed(() => box.ok(["cp", file, ":/tmp/bench_ours"])),
      peer: mib / await timed(() => scp(file, `${host}:/tmp/bench_peer`)),
    });
    out.push({
      ours: mib / await timed(() => box.ok(["cp", ":/tmp/bench_ours", `${file}.ours`])),
      peer: mib / await timed(() => scp(`${host}:/tmp/bench_peer`, `${file}.peer`)),
    });
  }
  await box.ok(["exec", "rm -f /tmp/bench_ours /tmp/bench_peer"]);
  return [
    { what: `cp ${mib} MiB into the guest`, unit: "MiB/s", pairs: into },
    { what: `cp ${mib} MiB out of the guest`, unit: "MiB/s", pairs: out },
  ];
}

/** A new process each: `rum exec true` against a fresh ssh and a multiplexed one. */
export async function measureExec(rig: Rig): Promise<Measured[]> {
  const { box, config, host } = rig;
  const shared = ["-o", "ControlMaster=auto", "-o", `ControlPath=${box.home}/cm`]
    .concat("-o", "ControlPersist=60");
  const ssh = (...more: string[]) => run(box, "ssh", ["-F", config, ...more, host, "true"]);
  await ssh(...shared);
  const fresh: Pair[] = [];
  const multiplexed: Pair[] = [];
  try {
    for (let n = 0; n < rig.rounds; n++) {
      const ours = await timed(() => box.ok(["exec", "true"])) * 1000;
      fresh.push({ ours, peer: await timed(() => ssh()) * 1000 });
      multiplexed.push({ ours, peer: await timed(() => ssh(...shared)) * 1000 });
    }
  } finally {
    await run(box, "ssh", ["-F", config, ...shared, "-O", "exit", host]);
  }
  return [
    { what: "exec true, against a fresh ssh", unit: "ms", pairs: fresh },
    { what: "exec true, against a multiplexed ssh", unit: "ms", pairs: multiplexed },
  ];
}

/**
 * `exec true` over a connection to the daemon that is open already, and one round trip to the guest
 * beside it: what is left of it is the agent's own work and the program's.
 */
export async function measureLink(rig: Rig): Promise<Measured[]> {
  const { box } = rig;
  const { id } = (await box.ok(["status", "-o", "json"])).json;
  const rum = rumPaths({ uid: Deno.uid() ?? 0, home: box.home, xdgDataHome: `${box.home}/data` });
  await using client = await connectDaemon(machinePaths(rum, id));
  const exec = () => client.request("exec", { argv: ["true"], stdin: false });
  const open: Pair[] = [];
  for (let n = 0; n < rig.rounds * 5; n++) {
    const ours = await timed(exec) * 1000;
    open.push({ ours, peer: await timed(() => box.ok(["exec", "true"])) * 1000 });
  }
  return [{ what: "exec true over an open connection", unit: "ms", pairs: open }];
}

async function tunnel(rig: Rig, from: number, to: number): Promise<AsyncDisposable> {
  const child = new Deno.Command("ssh", {
    args: ["-F", rig.config, "-N", "-o", "ExitOnForwardFailure=yes"]
      .concat("-L", `127.0.0.1:${from}:127.0.0.1:${to}`, rig.host),
    env: { ...rig.box.env },
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const end = performance.now() + 60_000;
  while (!await pull(from, 0).then(() => true, () => false)) {
    if (performance.now() > end) throw new Error("ssh -L did not begin to listen within 60 s");
    await new Promise((done) => setTimeout(done, 100));
  }
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
    },
  };
}

/** Seconds from connecting to the end of `mib` MiB. */
function pull(port: number, mib: number): Promise<number> {
  return timed(() =>
    new Promise<void>((resolve, reject) => {
      let got = 0;
      const socket = net.connect({ port, host: "127.0.0.1" }, () => socket.write(`${mib}\n`));
      socket.on("data", (chunk) => got += chunk.length);
      socket.on("error", reject);
      socket.on("close", () =>
        got === mib * MIB ? resolve() : reject(new Error(`${got} bytes came of ${mib} MiB`)));
    })
  );
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

async function run(box: Sandbox, command: string, args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, {
    args: [...args],
    env: { ...box.env },
    clearEnv: true,
    stdin: "null",
  }).output();
  if (!success) throw new Error(`${command}: ${new TextDecoder().decode(stderr)}`);
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
