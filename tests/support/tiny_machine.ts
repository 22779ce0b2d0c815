/** A machine for tests of the hypervisor: its identity, its XML, its disk. */
import type { MachineRef } from "../../src/libvirt/hypervisor.ts";
import { tinyGuestDisk } from "./boot_sector.ts";

export const TEST_CHANNEL = "org.rum.agent.0";

export function tinyRef(): MachineRef {
  const id = crypto.randomUUID().slice(0, 8);
  return { name: `rum-t-${id}`, uuid: crypto.randomUUID(), id };
}

export function rumMark(id: string): string {
  return `<metadata><rum:machine xmlns:rum="urn:rum:machine:1" id="${id}" version="0"/></metadata>`;
}

/** For libvirt's test driver, and for the fake: only the names count. */
export function testXml(ref: MachineRef, options: { mark?: string } = {}): string {
  return `<domain type='test'><name>${ref.name}</name><uuid>${ref.uuid}</uuid>` +
    (options.mark ?? rumMark(ref.id)) +
    `<memory>65536</memory><os><type>hvm</type></os></domain>`;
}

/** For QEMU: the 512-byte guest with a console, rum's channel, a screen and a panic device. */
export async function tinyXml(ref: MachineRef, folder: string): Promise<string> {
  const disk = `${folder}/${ref.id}.raw`;
  await Deno.writeFile(disk, tinyGuestDisk());
  await Deno.chmod(disk, 0o666);
  return `<domain type='qemu'><name>${ref.name}</name><uuid>${ref.uuid}</uuid>${rumMark(ref.id)}
<memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
<on_crash>preserve</on_crash>
<devices>
<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='${disk}'/>
<target dev='vda' bus='virtio'/></disk>
<controller type='usb' model='none'/>
<serial type='pty'><target port='0'/></serial><console type='pty'><target type='serial' port='0'/></console>
<channel type='unix'><source mode='bind'/><target type='virtio' name='${TEST_CHANNEL}'/></channel>
<video><model type='vga' vram='16384' heads='1'/></video>
<panic model='isa'/><memballoon model='virtio'/>
</devices></domain>`;
}
