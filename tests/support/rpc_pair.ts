/** A serving end of calls over an in-memory wire, and the two kinds of clients that tests need. */
import { FrameReader, FrameWriter } from "../../src/wire/frames.ts";
import { duplexPair } from "../../src/wire/pipe.ts";
import { RpcClient } from "../../src/wire/rpc_client.ts";
import { RpcServer } from "../../src/wire/rpc_server.ts";
import type { MethodTable } from "../../src/wire/rpc_types.ts";

function serverOver(methods: MethodTable, options: { graceMs?: number; capacity?: number } = {}) {
  const [near, far] = duplexPair({ capacity: options.capacity });
  const writer = new FrameWriter(far.writable);
  const server = new RpcServer({
    reader: new FrameReader(far.readable),
    writer,
    methods,
    connection: 1,
    client: { version: "0", build: "test" },
    graceMs: options.graceMs ?? 20,
  });
  const served = server.serve().finally(() => void writer.close());
  return { near, server, served };
}

/** A client that only writes and reads frames, for what the real one would never do. */
export function rawOver(
  methods: MethodTable,
  options: { graceMs?: number; capacity?: number } = {},
) {
  const { near, server, served } = serverOver(methods, options);
  const reader = new FrameReader(near.readable);
  const writer = new FrameWriter(near.writable);
  return {
    server,
    send: (value: unknown) => writer.send(value),
    async next() {
      return (await reader.next())?.value as Record<string, unknown> | undefined;
    },
    async rest(onFrame: (frame: Record<string, unknown>) => void = () => {}) {
      const frames: Record<string, unknown>[] = [];
      for (let got = await reader.next(); got; got = await reader.next()) {
        frames.push(got.value as Record<string, unknown>);
        onFrame(frames.at(-1)!);
      }
      return frames;
    },
    async end() {
      await writer.close();
      await served;
    },
    served,
  };
}

export function clientOver(
  methods: MethodTable,
  options: { graceMs?: number; capacity?: number } = {},
) {
  const { near, server, served } = serverOver(methods, options);
  const client = new RpcClient({
    reader: new FrameReader(near.readable),
    writer: new FrameWriter(near.writable),
  });
  return {
    client,
    server,
    async [Symbol.asyncDispose]() {
      client.close();
      near.abort();
      await served;
    },
  };
}
