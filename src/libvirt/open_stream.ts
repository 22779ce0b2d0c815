/** Opens a console or channel and ties its stream to the connection's life. */
import { describeFailure } from "./describe_failure.ts";
import type { LibvirtHypervisor } from "./libvirt_hypervisor.ts";
import type { StreamOptions } from "./hypervisor.ts";
import type { MachineRef } from "./operations/owned.ts";
import { LibvirtStream } from "./stream.ts";

const OPEN_MS = 15_000;
const STEP_MS = 15_000;

export async function openLibvirtStream(
  hypervisor: LibvirtHypervisor,
  machine: MachineRef,
  options: StreamOptions & { readonly channel?: string; readonly what: string },
): Promise<LibvirtStream> {
  const { runtime, connection, streams } = hypervisor;
  const gone = Promise.withResolvers<void>();
  let stream: LibvirtStream | undefined;
  const listening = runtime.listen((event) => {
    if (event.kind === "stream") stream?.handle(event);
  });
  const step = async <T>(doing: string, call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw describeFailure(error, { doing: `${doing} ${options.what}`, uri: connection.uri });
    }
  };
  const context = (doing: string) => ({ deadlineMs: STEP_MS, doing: `${doing} ${options.what}` });
  const close = (address: bigint) =>
    runtime.call("streamClose", { stream: address }, context("close"));
  try {
    const address = await connection.call("streamOpen", {
      machine,
      channel: options.channel,
      force: options.force ?? false,
      callback: runtime.callbacks.stream,
      key: listening.key,
    }, {
      doing: `open ${options.what}`,
      deadlineMs: options.deadlineMs ?? OPEN_MS,
      signal: options.signal,
      abandoned: (late) => void close(late).catch(() => {}),
    });
    stream = new LibvirtStream(address, {
      receive: (of) => step("read", runtime.call("streamReceive", { stream: of }, context("read"))),
      send: (of, bytes) =>
        step("write", runtime.call("streamSend", { stream: of, bytes }, context("write"))),
      arm: (of, events) =>
        step("wait", runtime.call("streamArm", { stream: of, events }, context("wait on"))),
      close,
    }, () => {
      streams.delete(entry);
      listening[Symbol.dispose]();
      gone.resolve();
    });
    const opened = stream;
    const entry = { abort: (reason: unknown) => opened.abort(reason), gone: gone.promise };
    streams.add(entry);
    return opened;
  } catch (error) {
    listening[Symbol.dispose]();
    throw error;
  }
}
