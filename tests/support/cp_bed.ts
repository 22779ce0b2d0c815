/**
 * The whole way of a copy in one process: the client's link, a real RPC connection, the daemon's
 * methods, the mux, the real agent. "Guest" and "host" are two folders.
 */
import assert from "node:assert/strict";
import {
  type CallStream,
  type CpLink,
  cpLink,
  openCallStream,
} from "../../src/daemon/client_stream.ts";
import { cpMethods } from "../../src/daemon/methods/cp.ts";
import { proxyMethods } from "../../src/daemon/methods/proxy.ts";
import type { AgentClient } from "../../src/guest/agent_client.ts";
import { FrameReader, FrameWriter } from "../../src/wire/frames.ts";
import type { MuxSession } from "../../src/wire/mux_session.ts";
import type { Mux } from "../../src/wire/mux_types.ts";
import { duplexPair } from "../../src/wire/pipe.ts";
import { RpcClient } from "../../src/wire/rpc_client.ts";
import { RpcServer } from "../../src/wire/rpc_server.ts";
import { agentBed } from "./agent_in_process.ts";

export interface CpBed extends AsyncDisposable {
  readonly mux: Mux;
  readonly link: CpLink;
  readonly client: AgentClient;
  readonly host: string;
  readonly guest: string;
  readonly knownHosts: string;
  proxy(port: number): CallStream;
  names(folder: string): string[];
  /** A file system of so many MiB. */
  smallDisk(mib: number): Promise<{ readonly path: string } & AsyncDisposable>;
}

export async function cpBed(): Promise<CpBed> {
  const bed = await agentBed();
  const client = await bed.connect();
  const folder = await Deno.makeTempDir({ prefix: "rum-cp-" });
  const [host, guest, small] = [`${folder}/host`, `${folder}/guest`, `${folder}/small`];
  for (const each of [host, guest, small]) await Deno.mkdir(each);
  const [a, b] = duplexPair();
  const agent = () => Promise.resolve(client);
  const knownHosts = `${folder}/known_hosts`;
  const server = new RpcServer({
    reader: new FrameReader(b.readable),
    writer: new FrameWriter(b.writable),
    methods: {
      ...cpMethods({ agent }),
      ...proxyMethods({ agent, paths: { id: "deadbeef", knownHosts } }),
    },
    connection: 1,
    client: { version: "0", build: "test" },
  });
  const served = server.serve();
  const rpc = new RpcClient({
    reader: new FrameReader(a.readable),
    writer: new FrameWriter(a.writable),
  });
  const caller = { request: rpc.request.bind(rpc) as never };
  const link = cpLink(caller);
  return {
    mux: link.mux,
    link,
    client,
    host,
    guest,
    knownHosts,
    proxy: (port) => openCallStream(caller, "proxy", { port }),
    names: (path) => [...Deno.readDirSync(path)].map((entry) => entry.name).sort(),
    async smallDisk(mib) {
      await run("mount", "-t", "tmpfs", "-o", `size=${mib}m`, "tmpfs", small);
      return { path: small, [Symbol.asyncDispose]: () => run("umount", small) };
    },
    async [Symbol.asyncDispose]() {
      // Whatever became of a copy, its streams are given back: 2048 are all that a session has.
      const mux = client.mux as MuxSession;
      for (let look = 0; mux.streamCount > 0 && look < 100; look++) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      assert.equal(mux.streamCount, 0, "streams are left of the copies");
      rpc.close();
      a.abort();
      await served;
      await server.idle();
      await bed[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

async function run(command: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(command, { args }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}
