/**
 * Networks that live and die with one machine. A network is ours when its UUID is (rum derives it
 * from the machine's, in a namespace of its own); a namesake with another UUID is never touched.
 */
import { ERR } from "../../../ffi/constants.ts";
import { lastError } from "../../../ffi/errors.ts";
import type { Libvirt } from "../../../ffi/library.ts";
import { type Address, cString, type Pointer, readUuid, uuidBuffer } from "../../../ffi/memory.ts";
import { RumError } from "../../base/errors.ts";
import { absentIf, check, checkPointer, connection, type Thread, using } from "./call.ts";

export interface NetworkRef {
  readonly name: string;
  readonly uuid: string;
}

export interface NetworkArgs {
  readonly connection: Address;
  readonly network: NetworkRef;
}

export const networkOperations = {
  /** Defines it (again) and starts it; nothing happens to a running one. */
  networkUp(
    { libraries: { libvirt } }: Thread,
    args: NetworkArgs & { readonly xml: string },
  ): void {
    const found = findNetwork(libvirt, args);
    if (found !== null) {
      const running = using(
        found,
        libvirt.virNetworkFree,
        () => check(libvirt, "virNetworkIsActive", libvirt.virNetworkIsActive(found)) === 1,
      );
      if (running) return;
    }
    const network = checkPointer(
      libvirt,
      "virNetworkDefineXML",
      libvirt.virNetworkDefineXML(connection(args.connection), cString(args.xml)),
    );
    using(
      network,
      libvirt.virNetworkFree,
      () => check(libvirt, "virNetworkCreate", libvirt.virNetworkCreate(network)),
    );
  },

  networkDown({ libraries: { libvirt } }: Thread, args: NetworkArgs): void {
    const network = findNetwork(libvirt, args);
    if (network === null) return;
    using(network, libvirt.virNetworkFree, () => {
      if (check(libvirt, "virNetworkIsActive", libvirt.virNetworkIsActive(network)) === 1) {
        check(libvirt, "virNetworkDestroy", libvirt.virNetworkDestroy(network));
      }
      check(libvirt, "virNetworkUndefine", libvirt.virNetworkUndefine(network));
    });
  },

  networkState(
    { libraries: { libvirt } }: Thread,
    args: NetworkArgs,
  ): "absent" | "stopped" | "running" {
    const network = findNetwork(libvirt, args);
    if (network === null) return "absent";
    return using(
        network,
        libvirt.virNetworkFree,
        () => check(libvirt, "virNetworkIsActive", libvirt.virNetworkIsActive(network)) === 1,
      )
      ? "running"
      : "stopped";
  },

  /** Whether this driver has networks at all: asks for one that cannot exist. */
  hasNetworks(
    { libraries: { libvirt } }: Thread,
    args: { readonly connection: Address },
  ): { readonly available: boolean; readonly detail: string } {
    const network = libvirt.virNetworkLookupByName(
      connection(args.connection),
      cString("rum-does-not-exist"),
    );
    if (network !== null) {
      libvirt.virNetworkFree(network);
      return { available: true, detail: "" };
    }
    const error = lastError(libvirt, "virNetworkLookupByName");
    return { available: error.code === ERR.NO_NETWORK, detail: error.message };
  },
};

function findNetwork(libvirt: Libvirt, { connection: address, network }: NetworkArgs): Pointer {
  const conn = connection(address);
  const found = absentIf(
    libvirt,
    "virNetworkLookupByUUIDString",
    libvirt.virNetworkLookupByUUIDString(conn, cString(network.uuid)),
    (error) => error.code === ERR.NO_NETWORK,
  );
  if (found !== null) return found;
  const namesake = absentIf(
    libvirt,
    "virNetworkLookupByName",
    libvirt.virNetworkLookupByName(conn, cString(network.name)),
    (error) => error.code === ERR.NO_NETWORK,
  );
  if (namesake === null) return null;
  return using(namesake, libvirt.virNetworkFree, () => {
    const buffer = uuidBuffer();
    check(libvirt, "virNetworkGetUUIDString", libvirt.virNetworkGetUUIDString(namesake, buffer));
    throw new RumError(
      "foreign_machine",
      `Refusing to touch the network "${network.name}": it has UUID ${readUuid(buffer)}, and ` +
        `rum's own would have ${network.uuid}`,
      { hint: `virsh net-info ${network.name}` },
    );
  });
}
