/** folder.open, folder.apply, folder.touch: host folders as copies, and host changes as events. */
import { RumError } from "../../src/base/errors.ts";
import { KIND } from "../../src/protocol/calls.ts";
import {
  FOLDER_PAGE,
  folderApplyParams,
  type FolderApplyResult,
  folderOp,
  folderOpenParams,
  folderTouchParams,
  type FolderTouchResult,
} from "../../src/protocol/folders.ts";
import { parseJson } from "../../src/wire/json.ts";
import { accountOf } from "../accounts.ts";
import { requireAbsolute } from "../apply/mounts.ts";
import type { Call } from "../call.ts";
import type { AgentContext } from "../context.ts";
import { FolderApply } from "../folder_apply.ts";
import { touchAll } from "../folder_touch.ts";
import type { Owner } from "../folder_write.ts";
import { Slices } from "../slices.ts";
import { asRumError } from "./files.ts";

export async function folderOpen(
  call: Call,
  context: AgentContext,
): Promise<{ entries: number }> {
  const { target, user } = call.params(folderOpenParams);
  const owner = await ownerOf(user);
  return await asRumError(`open the folder "${target}"`, async () => {
    const { base, turn } = await context.folders.open(target, owner);
    return await turn.run(async () => {
      const entries = [...base.entries.values()];
      for (let at = 0; at < entries.length; at += FOLDER_PAGE) {
        await call.event({ entries: entries.slice(at, at + FOLDER_PAGE) });
      }
      return { entries: entries.length };
    });
  });
}

export async function folderApply(
  call: Call,
  context: AgentContext,
): Promise<FolderApplyResult> {
  const { target, user } = call.params(folderApplyParams);
  const owner = await ownerOf(user);
  const { base, turn, stage } = context.folders.get(target);
  return await turn.run(async () => {
    const applying = new FolderApply({ base, top: target, owner, stage });
    const slices = new Slices();
    for (;;) {
      // What has arrived already comes without a turn of the event loop.
      await slices.rest();
      const record = await call.records.next();
      if (record === undefined) {
        throw new RumError("protocol_error", "A batch of changes ended without its end");
      }
      if (record.kind === KIND.end) break;
      if (record.kind !== KIND.params) {
        throw new RumError("protocol_error", `A record of kind ${record.kind} between two changes`);
      }
      await applying.take(folderOp(parseJson(record.payload, "A change"), ""), call);
    }
    return { done: applying.done, refused: applying.refused };
  });
}

export function folderTouch(call: Call): Promise<FolderTouchResult> {
  const { target, changes } = call.params(folderTouchParams);
  requireAbsolute(target);
  return Promise.resolve(touchAll(target, changes));
}

/** A user that the guest does not have (yet): then root, as everything else that rum makes. */
async function ownerOf(user: string | undefined): Promise<Owner> {
  if (user === undefined || Deno.uid() !== 0) return {};
  const account = await accountOf(user);
  return account === undefined ? {} : { uid: account.uid, gid: account.gid };
}
