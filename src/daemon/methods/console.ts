/**
 * console: the guest's serial line, for as long as the machine has power. What the guest prints is
 * offered and never held back for a slow client: it also goes to the boot log, and a console that
 * stood still would stop the guest's own writers. What the client types is passed on as it comes.
 */
import { RumError } from "../../base/errors.ts";
import { object } from "../../protocol/shape.ts";
import { method, type MethodTable } from "../../wire/rpc_types.ts";
import type { Engine } from "../engine.ts";

const OFF: readonly string[] = ["stopped", "absent", "over"];

export function consoleMethods(
  parts: Pick<Engine, "console" | "controller"> & { readonly powered: () => boolean },
): MethodTable {
  const { console, controller, powered } = parts;
  return {
    console: method({
      params: object({}),
      kind: "stream",
      async handle(_context, _params, io) {
        if (!powered()) {
          throw new RumError("not_running", "The machine is not running, so nothing is printed", {
            hint: "rum log --source boot",
          });
        }
        const unlisten = console.listen((bytes) =>
          io.offer({ stream: "data", data: bytes.toBase64() })
        );
        const typing = (async () => {
          for await (const bytes of io.input) await console.write(bytes);
        })();
        typing.catch(() => {});
        try {
          for (;;) {
            const { state, revision } = controller.snapshot();
            if (!powered() || OFF.includes(state.kind)) return { ended: state.kind };
            await controller.changed(revision, { signal: io.signal });
          }
        } finally {
          unlisten();
        }
      },
    }),
  };
}
