/**
 * The one module that names files. Every path that rum makes or reads on the host comes from here,
 * so that SPEC section 4 can be compared with one page. Pure: the environment is a value.
 *
 *   data  $XDG_DATA_HOME/rum            root without it: /var/lib/rum
 *           .locks/<id>.lock            beside the machines, never unlinked
 *           <id>/                       one machine
 *   cache $XDG_CACHE_HOME/rum           root without it: /var/cache/rum
 *           images/  bin/               base images; unpacked self-extracting builds
 *
 * Socket paths are limited to 107 bytes by the kernel. Those that could pass it move to
 * $XDG_RUNTIME_DIR/rum/<id>/, else /tmp/rum-<uid>/<id>/; the caller checks owner and mode there.
 */
export interface HostEnv {
  readonly uid: number;
  readonly home: string;
  readonly xdgDataHome?: string;
  readonly xdgCacheHome?: string;
  readonly xdgRuntimeDir?: string;
}

export interface RumPaths {
  readonly data: string;
  readonly cache: string;
  readonly images: string;
  /** Where an unpacked self-extracting build lives, by digest. */
  readonly unpacked: string;
  readonly locks: string;
  /** Approved host-affecting keys, by hash (SPEC section 11). */
  readonly trust: string;
  /** Held while the approvals are rewritten. */
  readonly trustLock: string;
  /** Short folder for sockets of machines whose own folder is too deep. */
  readonly shortRoot: string;
  /** Root of the embedded hypervisor's shared capability cache. */
  readonly embedCache: string;
}

export interface MachinePaths {
  readonly id: string;
  readonly folder: string;
  readonly state: string;
  readonly configPath: string;
  readonly overlay: string;
  /** A new disk while it is being made; it becomes `overlay` by rename. */
  readonly pendingOverlay: string;
  drive(name: string): string;
  pendingDrive(name: string): string;
  seed(hash: string): string;
  readonly domainXml: string;
  readonly sshKey: string;
  readonly sshPublicKey: string;
  readonly knownHosts: string;
  /** The machine's `Host` block while it is installed; ~/.ssh/config includes it. */
  readonly sshConfig: string;
  /** What `rum ssh` runs ssh with: the block, then the user's own configuration. */
  readonly sshClientConfig: string;
  /** The forwards of this power-on, for the next daemon. */
  readonly forwards: string;
  /** What host and guest share. */
  readonly token: string;
  /** What the daemon and its clients share; the guest never learns it. */
  readonly daemonToken: string;
  readonly pid: string;
  readonly daemonJson: string;
  readonly events: string;
  readonly logs: string;
  readonly daemonLog: string;
  readonly consoleLog: string;
  scriptLog(name: string): string;
  /** How far the guest's script output is in those logs. */
  readonly scriptPosition: string;
  readonly screenshots: string;
  readonly lock: string;
  /** Folder of every socket of this machine: its own, or the short one. */
  readonly socketFolder: string;
  readonly socket: string;
  /** The name bound first, then renamed to `socket`. */
  pendingSocket(pid: number): string;
  /** Host end of the agent's virtio-serial port. */
  readonly agentSocket: string;
  /** Root of the embedded hypervisor. QEMU's monitor socket below it is the longest path made. */
  readonly embedRoot: string;
}

const SOCKET_PATH_MAX = 107;
/** The deepest socket below an embed root: /lib/qemu/domain-<7 digits>-<20 of the name>/monitor.sock. */
const EMBED_TAIL = 58;
const LONGEST_OWN_SOCKET = "/rum.sock.4194304".length;
/** A runtime folder is short enough when the embed root below it is: <dir>/rum/<id>/e + tail. */
const RUNTIME_DIR_MAX = SOCKET_PATH_MAX - EMBED_TAIL - "/rum/01234567/e".length;

export function rumPaths(env: HostEnv): RumPaths {
  const root = env.uid === 0;
  const data = env.xdgDataHome !== undefined && env.xdgDataHome.startsWith("/")
    ? `${env.xdgDataHome}/rum`
    : root
    ? "/var/lib/rum"
    : `${env.home}/.local/share/rum`;
  const cache = env.xdgCacheHome !== undefined && env.xdgCacheHome.startsWith("/")
    ? `${env.xdgCacheHome}/rum`
    : root
    ? "/var/cache/rum"
    : `${env.home}/.cache/rum`;
  const runtime = env.xdgRuntimeDir !== undefined && env.xdgRuntimeDir.startsWith("/") &&
      byteLength(env.xdgRuntimeDir) <= RUNTIME_DIR_MAX
    ? `${env.xdgRuntimeDir}/rum`
    : `/tmp/rum-${env.uid}`;
  return {
    data,
    cache,
    images: `${cache}/images`,
    unpacked: `${cache}/bin`,
    locks: `${data}/.locks`,
    trust: `${data}/.trust.json`,
    trustLock: `${data}/.trust.lock`,
    shortRoot: runtime,
    embedCache: `${cache}/embed`,
  };
}

export function machinePaths(rum: RumPaths, id: string): MachinePaths {
  const folder = `${rum.data}/${id}`;
  const short = `${rum.shortRoot}/${id}`;
  const socketFolder = byteLength(folder) + LONGEST_OWN_SOCKET <= SOCKET_PATH_MAX ? folder : short;
  const embedRoot = byteLength(`${folder}/embed`) + EMBED_TAIL <= SOCKET_PATH_MAX
    ? `${folder}/embed`
    : `${short}/e`;
  const logs = `${folder}/logs`;
  return {
    id,
    folder,
    state: `${folder}/state.json`,
    configPath: `${folder}/config_path`,
    overlay: `${folder}/overlay.qcow2`,
    pendingOverlay: `${folder}/overlay.qcow2.pending`,
    drive: (name) => `${folder}/drive-${name}.qcow2`,
    pendingDrive: (name) => `${folder}/drive-${name}.qcow2.pending`,
    seed: (hash) => `${folder}/seed-${hash}.iso`,
    domainXml: `${folder}/domain.xml`,
    sshKey: `${folder}/ssh_ed25519`,
    sshPublicKey: `${folder}/ssh_ed25519.pub`,
    knownHosts: `${folder}/known_hosts`,
    sshConfig: `${folder}/ssh_config`,
    sshClientConfig: `${folder}/ssh_client_config`,
    forwards: `${folder}/forwards.json`,
    token: `${folder}/token`,
    daemonToken: `${folder}/daemon.token`,
    pid: `${folder}/rum.pid`,
    daemonJson: `${folder}/daemon.json`,
    events: `${folder}/events.jsonl`,
    logs,
    daemonLog: `${logs}/daemon.log`,
    consoleLog: `${logs}/boot.log`,
    scriptLog: (name) => `${logs}/script-${name}.log`,
    scriptPosition: `${folder}/script_position.json`,
    screenshots: `${folder}/screenshots`,
    lock: `${rum.locks}/${id}.lock`,
    socketFolder,
    socket: `${socketFolder}/rum.sock`,
    pendingSocket: (pid) => `${socketFolder}/rum.sock.${pid}`,
    agentSocket: `${socketFolder}/agent.sock`,
    embedRoot,
  };
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
