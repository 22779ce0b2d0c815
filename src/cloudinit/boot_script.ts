/**
 * How the agent gets going in a guest: small files on the seed, and whoever comes first to run them.
 *
 *   rum-boot.service → on the first boot, as soon as the file systems are there and before Python has even
 *     started: systemd takes the unit from the SMBIOS strings (256 and later); images that rum builds have it
 *   bootcmd → on every boot, and on the first where neither is so: the earliest stage of cloud-init that
 *     has the datasource
 *
 *   both → mount the seed at /run/rum/seed and run rum-boot.sh
 *   rum-boot.sh → installs start script and unit when they differ, starts the unit without waiting
 *   rum-agent.service → starts by itself on later boots, long before cloud-init
 *   rum-start.sh → becomes the agent: the kept copy, else the one on the seed
 *
 * The first boot runs the agent from the seed, because copying 100 MB takes seconds under emulation;
 * the agent keeps a copy of itself later. On later boots that copy is right even when the seed has
 * another version: the agent is only ever replaced by a host that said hello.
 */

/** Where the seed is mounted in the guest. The agent reads its token there. */
export const SEED_MOUNT = "/run/rum/seed";
export const SEED_LABEL = "cidata";
/** Where cloud-init looks for a seed before it looks at disks; a later disk's words win, but for meta-data. */
const KEPT_SEED = "/var/lib/cloud/seed/nocloud";
const GENERATOR = "/etc/systemd/system-generators/rum-network-first";
const BOOT_DONE = "/run/rum/boot-done";
export const AGENT_STATE = "/var/lib/rum/agent";

const MOUNT = `mount -t iso9660 -o ro,nosuid,nodev LABEL=${SEED_LABEL}`;

/** One word list for `bootcmd`. A seed that is mounted already is left alone. */
export const BOOT_COMMAND: readonly string[] = [
  "sh",
  "-c",
  `m=${SEED_MOUNT}; mkdir -p $m; [ -e $m/meta-data ] || ${MOUNT} $m; exec sh $m/rum-boot.sh`,
];

export const BOOT_UNIT_NAME = "rum-boot.service";

/**
 * The same without cloud-init, once: from then on the agent starts by itself, and bootcmd sees to what changed.
 * An image that has it may meet no seed, or somebody else's: both are left alone.
 */
export const BOOT_UNIT = `[Unit]
Description=rum: start the guest agent from the seed
DefaultDependencies=no
After=local-fs.target
Conflicts=shutdown.target
Before=shutdown.target
ConditionPathExists=!/etc/systemd/system/rum-agent.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'm=${SEED_MOUNT}; mkdir -p $$m; \\
  [ -e $$m/meta-data ] || ${MOUNT} $$m 2> /dev/null || exit 0; \\
  if [ -e $$m/rum-boot.sh ]; then exec sh $$m/rum-boot.sh; fi; umount $$m'

[Install]
WantedBy=multi-user.target
`;

/** Few programs before the start: under emulation, in the thick of a boot, each takes a tenth of a second. */
export const BOOT_SCRIPT = `#!/bin/sh
# rum: installs what starts the guest agent, and starts it. Runs on every boot, changes nothing twice.
set -eu
[ ! -e ${BOOT_DONE} ] || exit 0
seed=${SEED_MOUNT}
units=/etc/systemd/system
changed=

# put FROM TO MODE: only when different, and whole or not at all, whoever else is at it
put() {
  if [ -f "$2" ] && [ "$(cat "$1")" = "$(cat "$2")" ]; then return 0; fi
  install -D -m "$3" "$1" "$2.rum-$$"
  mv -f "$2.rum-$$" "$2"
  changed=1
}

# A seed that lets cloud-init work before the network means the first boot, where cloud-init starts the
# agent. Where the agent is up without it, and on later boots, the network would only wait for it. What lies
# here is read before the seed, whose words count for all that this leaves open.
kept=${KEPT_SEED}
early=
while read -r line; do
  [ "$line" != 'dsmode: "local"' ] || early=1
done < "$seed/meta-data"
if [ -n "$early" ] && [ ! -s "$kept/meta-data" ]; then
  mkdir -p "$kept"
  echo '#cloud-config' > "$kept/user-data"
  echo 'dsmode: net' > "$kept/rum-$$"
  mv -f "$kept/rum-$$" "$kept/meta-data"
fi

[ -d /var/lib/rum ] || mkdir -m 0700 /var/lib/rum
unit=$units/rum-agent.service
reload=
[ ! -e "$unit" ] || reload=1
put "$seed/rum-start.sh" ${AGENT_STATE}/start 0755
put "$seed/rum-agent.service" "$unit" 0644
# As "systemctl enable" does, without the second it takes under emulation.
wanted=$units/multi-user.target.wants
[ -L "$wanted/rum-agent.service" ] || {
  [ -d "$wanted" ] || mkdir -p "$wanted"
  ln -sf ../rum-agent.service "$wanted/rum-agent.service"
}

login=$units/serial-getty@.service.d/rum-autologin.conf
if [ -f "$seed/rum-autologin.conf" ]; then
  put "$seed/rum-autologin.conf" "$login" 0644
  reload=1
elif [ -f "$login" ]; then
  rm -f "$login"
  changed=1
fi

if [ -n "$changed" ]; then
  if command -v restorecon > /dev/null 2>&1; then
    restorecon -R "$unit" ${AGENT_STATE} || true
  fi
  # A second under emulation, and systemd finds a unit that it never heard of without it.
  [ -z "$reload" ] || systemctl daemon-reload
fi
systemctl start --no-block rum-agent.service || {
  systemctl daemon-reload
  systemctl start --no-block rum-agent.service
}

[ -z "$early" ] || put "$seed/rum-generator" ${GENERATOR} 0755
: > ${BOOT_DONE}
`;

/**
 * On later boots the files of the network are there: cloud-init made them on the first. So its first stage comes
 * after networkd and not before it. A generator, because systemd can add to a unit's order but not
 * take from it; it works on the unit that is installed, whatever version. For networkd alone: NetworkManager
 * starts after what waits for that stage.
 */
export const GENERATOR_SCRIPT = `#!/bin/sh
# rum: on later boots the network does not wait for cloud-init.
set -eu
early=\${2:-}
units=/usr/lib/systemd/system
unit=cloud-init-local.service
wants=/etc/systemd/system/multi-user.target.wants/systemd-networkd.service
[ -n "$early" ] && [ -L "$wants" ] || exit 0
# Modules run after the files were made.
set -- /var/lib/cloud/instance/sem/config_*
[ -e "$1" ] || exit 0
# Since 24.3 its "status" takes a unit that a generator made for a failed one.
[ -f "$units/$unit" ] && [ ! -e "$units/cloud-init-main.service" ] || exit 0
# One that somebody changed is theirs.
[ ! -e "/etc/systemd/system/$unit" ] && [ ! -e "/etc/systemd/system/$unit.d" ] || exit 0
sed -e '/^Before=/s/network-pre\\.target//' -e '/^Wants=/s/network-pre\\.target//' \\
  -e '/^\\[Unit\\]/a After=systemd-networkd.service' "$units/$unit" > "$early/$unit"
# Now it is the agent that everybody waits for: until the boot is over, it comes first.
mkdir -p "$early/rum-agent.service.d"
printf '[Service]\\nStartupCPUWeight=1000\\n' > "$early/rum-agent.service.d/rum.conf"
`;

export const START_SCRIPT = `#!/bin/sh
# rum: becomes the guest agent. A shell in between, because SELinux lets a service run a shell and
# not a file below /var/lib or on a mounted seed.
seed=${SEED_MOUNT}
[ -d "$seed" ] || mkdir -p "$seed"
[ -e "$seed/meta-data" ] || ${MOUNT} "$seed" 2> /dev/null
# One heap of the C library for all threads, not one for each. What the agent starts has an environment of its own.
export MALLOC_ARENA_MAX=1
for agent in ${AGENT_STATE}/current "$seed/rum-agent"; do
  if [ -x "$agent" ]; then exec "$agent"; fi
done
echo "rum: no agent in ${AGENT_STATE} or on the seed; trying again" >&2
sleep 1
exit 1
`;

export const AGENT_UNIT = `[Unit]
Description=rum guest agent
DefaultDependencies=no
After=local-fs.target
Conflicts=shutdown.target
Before=shutdown.target
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh ${AGENT_STATE}/start
Restart=always
RestartSec=200ms
TasksMax=infinity

[Install]
WantedBy=multi-user.target
`;

/** The serial console logs this user in; `user` is a name that the config has checked. */
export function autologinDropIn(user: string): string {
  return `[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin ${user} --noclear --keep-baud 115200,57600,38400,9600 - $TERM
`;
}
