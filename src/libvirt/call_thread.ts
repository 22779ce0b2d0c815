/**
 * A call thread: does one libvirt operation at a time, blocking, and reads the error of a failed
 * call before anything else happens on this thread.
 */
import { Libraries, type LibraryNames } from "../../ffi/library.ts";
import { failureOf } from "./failure.ts";
import type { FromCallThread, ToCallThread } from "./messages.ts";
import { type AnyOperation, OPERATIONS } from "./operations/table.ts";

/** Becomes one for the rest of this worker's life. */
export function serveCalls(names: LibraryNames): void {
  const libraries = new Libraries(names);
  self.addEventListener("message", ({ data }: MessageEvent<ToCallThread>) => {
    if (data.kind !== "call") return;
    const { id } = data;
    try {
      const operation: AnyOperation = OPERATIONS[data.operation];
      post({ kind: "done", id, result: operation({ libraries }, data.args as never) });
    } catch (thrown) {
      post({ kind: "failed", id, failure: failureOf(thrown) });
    }
  });
}

function post(message: FromCallThread): void {
  self.postMessage(message);
}
