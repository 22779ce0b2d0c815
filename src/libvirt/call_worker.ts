/**
 * A call thread: does one libvirt operation at a time, blocking, and reads the error of a failed
 * call before anything else happens on this thread. Its module graph is kept tiny, because each
 * call thread is an isolate of its own.
 */
import { Libraries } from "../../ffi/library.ts";
import { failureOf } from "./failure.ts";
import type { FromCallThread, ToCallThread } from "./messages.ts";
import { type AnyOperation, OPERATIONS } from "./operations/table.ts";

let libraries: Libraries;

self.addEventListener("message", ({ data }: MessageEvent<ToCallThread>) => {
  switch (data.kind) {
    case "configure":
      libraries = new Libraries(data.libraries);
      return;
    case "end":
      self.close();
      return;
    case "call": {
      const { id } = data;
      try {
        const operation: AnyOperation = OPERATIONS[data.operation];
        post({ kind: "done", id, result: operation({ libraries }, data.args as never) });
      } catch (thrown) {
        post({ kind: "failed", id, failure: failureOf(thrown) });
      }
    }
  }
});

function post(message: FromCallThread): void {
  self.postMessage(message);
}
