/**
 * Finding a machine's domain, and refusing everyone else's. Every operation on a machine goes
 * through `withOwned`, so there is no verb that could reach a domain by its name alone: UUID and
 * rum's metadata must both match (SPEC section 4).
 */
import { ERR, METADATA_ELEMENT } from "../../../ffi/constants.ts";
import { lastError } from "../../../ffi/errors.ts";
import type { Libvirt } from "../../../ffi/library.ts";
import {
  type Address,
  cString,
  type Pointer,
  readUuid,
  takeCString,
  uuidBuffer,
} from "../../../ffi/memory.ts";
import { RumError } from "../../base/errors.ts";
import { METADATA_NAMESPACE } from "../../xml/domain.ts";
import { absentIf, check, connection, type Thread, using } from "./call.ts";

/** Which machine: all three are known before libvirt is asked anything. */
export interface MachineRef {
  /** libvirt's name: `rum-<name>-<id>`. */
  readonly name: string;
  readonly uuid: string;
  /** 8 hex; what the metadata carries. */
  readonly id: string;
}

export interface OwnedArgs {
  readonly connection: Address;
  readonly machine: MachineRef;
}

/**
 * Runs `use` on the machine's domain.
 *
 * @throws {RumError} `foreign_machine` when a domain of that UUID or name exists that is not ours,
 * `machine_not_found` when there is none
 */
export function withOwned<T>(
  { libraries: { libvirt } }: Thread,
  args: OwnedArgs,
  use: (domain: Pointer, libvirt: Libvirt) => T,
): T {
  const domain = findOwned(libvirt, args);
  if (domain === null) {
    throw new RumError(
      "machine_not_found",
      `libvirt knows no machine "${args.machine.name}" (${args.machine.uuid})`,
      { hint: "rum up" },
    );
  }
  return using(domain, libvirt.virDomainFree, () => use(domain, libvirt));
}

/** The domain, to be freed by the caller; null when there is none of that UUID and name. */
export function findOwned(libvirt: Libvirt, { connection: address, machine }: OwnedArgs): Pointer {
  const conn = connection(address);
  const domain = absentIf(
    libvirt,
    "virDomainLookupByUUIDString",
    libvirt.virDomainLookupByUUIDString(conn, cString(machine.uuid)),
    (error) => error.code === ERR.NO_DOMAIN,
  );
  if (domain === null) {
    refuseNamesake(libvirt, conn, machine);
    return null;
  }
  try {
    const found = metadataId(libvirt, domain);
    if (found === machine.id) return domain;
    throw foreign(machine, "has its UUID", found);
  } catch (error) {
    libvirt.virDomainFree(domain);
    throw error;
  }
}

function refuseNamesake(libvirt: Libvirt, conn: Pointer, machine: MachineRef): void {
  const namesake = absentIf(
    libvirt,
    "virDomainLookupByName",
    libvirt.virDomainLookupByName(conn, cString(machine.name)),
    (error) => error.code === ERR.NO_DOMAIN,
  );
  if (namesake === null) return;
  using(namesake, libvirt.virDomainFree, () => {
    const buffer = uuidBuffer();
    check(libvirt, "virDomainGetUUIDString", libvirt.virDomainGetUUIDString(namesake, buffer));
    throw foreign(machine, `has that name with UUID ${readUuid(buffer)}`, undefined);
  });
}

function metadataId(libvirt: Libvirt, domain: Pointer): string | undefined {
  const element = libvirt.virDomainGetMetadata(
    domain,
    METADATA_ELEMENT,
    cString(METADATA_NAMESPACE),
    0,
  );
  if (element !== null) return machineIdOfMetadata(takeCString(element, libvirt.free));
  const error = lastError(libvirt, "virDomainGetMetadata");
  if (error.code === ERR.NO_DOMAIN_METADATA) return undefined;
  throw error;
}

function foreign(machine: MachineRef, how: string, found: string | undefined): RumError {
  const mark = found === undefined ? "without rum's mark" : `marked as rum's machine ${found}`;
  return new RumError(
    "foreign_machine",
    `Refusing to touch "${machine.name}": a libvirt domain ${how}, ${mark}; ` +
      `wanted UUID ${machine.uuid} marked ${machine.id}`,
    { hint: `virsh dominfo ${machine.name}`, data: { name: machine.name, uuid: machine.uuid } },
  );
}

/** The id in rum's element as libvirt hands it back; quotes and prefix are libvirt's choice. */
export function machineIdOfMetadata(element: string): string | undefined {
  return /^\s*<(?:[a-z]+:)?machine\b[^>]*\sid=(["'])([0-9a-f]{8})\1/.exec(element)?.[2];
}
