/**
 * The work of the soak: each kind is one thing that a user does, with every byte checked. Kinds hold
 * what they know (which digest a file must have) so that a failure in mid-work is checked later too:
 * what was being replaced is the old one or the new one, never a mixture.
 */
import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import * as net from "node:net";
import type { Bed } from "./bed.ts";
import type { Random } from "../support/seeded.ts";
import { Hung, Lost, Refused } from "./tally.ts";

export type Work = (random: Random) => Promise<void>;

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const SOCKET_MS = 120_000;
const SLOTS = 6;

/** One at a time: two copies onto one file, or two hands on one service, would only confuse us. */
class Turn {
  #last: Promise<unknown> = Promise.resolve();
  take<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work);
    this.#last = mine.catch(() => {});
    return mine;
  }
}

export function works(bed: Bed): Readonly<Record<string, Work>> {
  const slots = Array.from({ length: SLOTS }, () => ({
    turn: new Turn(),
    /** What the file may hold: several after a copy that failed, as it may have come all the same. */
    may: new Set<string>(),
    /** Some copy ended well, so there is a file. */
    there: false,
  }));
  const services = new Turn();
  let seen = 0;
  const reading = new Turn();
  return {
    async exec(random) {
      const sent = random.bytes(random.size(1, 256 * 1024));
      const { code, bytes } = await bed.guest(["sh", "-c", "cat; exit 7"], sent);
      if (code !== 7) throw new Lost(`exit code ${code} in place of 7`);
      same(sent, bytes);
      bed.tally.bytes += 2 * sent.length;
    },

    async copy(random) {
      const n = random.int(SLOTS);
      const slot = slots[n];
      await slot.turn.take(async () => {
        const source = `${bed.box.home}/files/in-${n}`;
        const content = random.bytes(random.size(1, 2 * 2 ** 20));
        await Deno.writeFile(source, content);
        const digest = sha256(content);
        slot.may.add(digest);
        await bed.rum(["cp", source, `:/srv/soak/slot-${n}`]);
        slot.may.clear();
        slot.may.add(digest);
        slot.there = true;
        bed.tally.bytes += content.length;
      });
    },

    async "copy back"(random) {
      const n = random.int(SLOTS);
      const slot = slots[n];
      await slot.turn.take(async () => {
        if (slot.may.size === 0) return;
        const folder = `${bed.box.home}/files/out-${n}`;
        await Deno.mkdir(folder, { recursive: true });
        await Deno.writeTextFile(`${folder}/file`, "old");
        try {
          await bed.rum(["cp", `:/srv/soak/slot-${n}`, `${folder}/file`]);
        } catch (thrown) {
          if (thrown instanceof Refused && thrown.code === "no_such_file" && !slot.there) return;
          const left = [...Deno.readDirSync(folder)].map((entry) => entry.name);
          const text = await Deno.readTextFile(`${folder}/file`);
          if (text !== "old" || left.length !== 1) {
            throw new Lost(`a failed copy left ${left.join(", ")}, ${text.length} bytes`);
          }
          throw thrown;
        }
        const content = await Deno.readFile(`${folder}/file`);
        const digest = sha256(content);
        if (!slot.may.has(digest)) throw new Lost(`slot ${n} has ${digest}, which nobody wrote`);
        slot.may.clear();
        slot.may.add(digest);
        slot.there = true;
        bed.tally.bytes += content.length;
      });
    },

    async forward(random) {
      const rows = (await bed.status()).forwards as { guest: number; host: number }[];
      const port = rows.find((row) => row.guest === 7007)?.host;
      if (port === undefined) throw new Refused("agent_unavailable", "status has no forward");
      const each = Array.from({ length: 1 + random.int(4) }, async () => {
        const sent = random.bytes(random.size(1, 512 * 1024));
        const got = await echoed(port, sent);
        same(sent, got.bytes, got.broken === undefined ? undefined : "prefix");
        if (got.broken !== undefined) throw new Refused("connection_lost", got.broken);
        bed.tally.bytes += 2 * sent.length;
      });
      for (const end of await Promise.allSettled(each)) {
        if (end.status === "rejected") throw end.reason;
      }
    },

    async service(random) {
      const name = random.pick(["ticker", "worker"]);
      const how = random.pick(["restart", "stop", "crash"]);
      await services.take(async () => {
        const start = () =>
          bed.rum(["service", "start", name]).catch(unless("service_already_running"));
        if (how === "crash") {
          const { json } = await bed.rum(["service", "status", name]);
          const { pid } = json.services[0];
          // An earlier hand stopped it and was refused when it wanted to start it again.
          await (pid === undefined ? start() : bed.guest(["kill", "-9", String(pid)]));
        } else {
          await bed.rum(["service", how, name]).catch(unless("service_not_running"));
        }
        if (how === "stop") await start();
        await bed.rum(["wait", "--for", `service:${name}`, "--timeout", "2m"]);
      });
    },

    async tree(random) {
      const root = `${bed.box.project}/tree`;
      const name = (n: number) => `${root}/d${n % 4}/f${n}`;
      for (let edits = 1 + random.int(8); edits > 0; edits--) {
        const path = name(random.int(24));
        await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
        const content = random.bytes(random.size(1, 64 * 1024));
        const edit = random.int(4);
        if (edit === 0) await Deno.remove(path).catch(unlessMissing);
        else if (edit === 1) await Deno.rename(path, name(random.int(24))).catch(unlessMissing);
        else if (edit === 2) {
          await Deno.writeFile(`${path}.new`, content);
          await Deno.rename(`${path}.new`, path);
        } else await Deno.writeFile(path, content);
      }
    },

    async status() {
      const { v, type, phase } = await bed.status();
      if (v !== 1 || type !== "status") throw new Lost(`status is ${type} v${v}`);
      if (phase !== "running" && !bed.disturbed(bed.now)) throw new Lost(`phase ${phase}`);
    },

    async list() {
      const { json } = await bed.rum(["list"]);
      const names = (json.machines as { name: string }[]).map((each) => each.name);
      if (names.join() !== "soak") throw new Lost(`list has ${names.join()}`);
    },

    async events() {
      await reading.take(async () => {
        const { stdout } = await bed.rum(["events", "--since", String(seen)]);
        for (const line of stdout.split("\n")) {
          if (line === "") continue;
          const { seq } = JSON.parse(line);
          if (seq !== seen + 1 && seen !== 0) throw new Lost(`event ${seq} after ${seen}`);
          seen = seq;
        }
      });
    },
  };
}

/** How often each is drawn. */
export const MIX = [
  ...Array(4).fill("exec"),
  ...Array(3).fill("copy"),
  ...Array(3).fill("copy back"),
  ...Array(4).fill("forward"),
  ...Array(2).fill("service"),
  ...Array(3).fill("tree"),
  "status",
  "status",
  "list",
  "events",
] as readonly string[];

function same(sent: Uint8Array, got: Uint8Array, only?: "prefix"): void {
  if (got.length > sent.length || (only === undefined && got.length !== sent.length)) {
    throw new Lost(`${got.length} bytes came back of ${sent.length}`);
  }
  const at = got.findIndex((byte, i) => byte !== sent[i]);
  if (at >= 0) throw new Lost(`byte ${at} of ${sent.length} is another`);
}

const unless = (code: string) => (thrown: unknown) => {
  if (!(thrown instanceof Refused) || thrown.code !== code) throw thrown;
};

function unlessMissing(thrown: unknown): void {
  if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
}

/** What came back, and how the connection broke when it did. */
function echoed(
  port: number,
  sent: Uint8Array,
): Promise<{ bytes: Uint8Array; broken?: string }> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    const got: Uint8Array[] = [];
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Hung(`A forwarded connection did not end within ${SOCKET_MS / 1000} s`));
    }, SOCKET_MS);
    const end = (broken?: string) => {
      clearTimeout(timer);
      socket.destroy();
      const bytes = new Uint8Array(Buffer.concat(got));
      if (broken === undefined && bytes.length < sent.length) broken = "it ended early";
      resolve({ bytes, ...(broken === undefined ? {} : { broken }) });
    };
    socket.on("data", (chunk) => got.push(chunk));
    socket.on("end", () => end());
    socket.on("error", (error) => end(error.message));
    socket.end(sent);
  });
}
