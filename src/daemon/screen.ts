/** The machine's screen as PNG, whatever the hypervisor made of it. */
import { RumError } from "../base/errors.ts";
import { encodePng, parsePpm, pngSize } from "../image/png.ts";
import type { HypervisorMachine } from "../libvirt/hypervisor.ts";

export interface ScreenPicture {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}

export async function takeScreenshot(
  machine: HypervisorMachine,
  signal?: AbortSignal,
): Promise<ScreenPicture> {
  const { bytes } = await machine.screenshot({ signal });
  const size = pngSize(bytes);
  if (size !== undefined) return { png: bytes, ...size };
  const picture = parsePpm(bytes);
  return { png: encodePng(picture), width: picture.width, height: picture.height };
}

/** `2026-11-21T10:15:00.000Z` as part of a file name. */
export function pictureName(at: Date): string {
  return `${at.toISOString().replace(/[-:]/g, "").replace(/\.\d+Z$/, "Z")}.png`;
}

export function notRunning(): RumError {
  return new RumError("not_running", "The machine is not running", { hint: "rum up -d" });
}
