/**
 * How the agent gets going in a guest: three small files on the seed and one command for
 * cloud-init's `bootcmd`, the earliest stage that has the datasource (the agent then answers before
 * sshd does; `runcmd` would be the last stage).
 *
 *   bootcmd → mounts the seed at /run/rum/seed, runs rum-boot.sh, on every boot
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
const LATER_BOOTS = "/var/lib/cloud/seed/nocloud";
export const AGENT_STATE = "/var/lib/rum/agent";

/** One word list for `bootcmd`. A seed that is mounted already is left alone. */
export const BOOT_COMMAND: readonly string[] = [
  "sh",
  "-c",
  `m=${SEED_MOUNT}; mkdir -p $m; [ -e $m/meta-data ] || ` +
  `mount -t iso9660 -o ro,nosuid,nodev LABEL=${SEED_LABEL} $m; exec sh $m/rum-boot.sh`,
];

export const BOOT_SCRIPT = `#!/bin/sh
# rum: installs what starts the guest agent, and starts it. Runs on every boot, changes nothing twice.
set -eu
seed=${SEED_MOUNT}
units=/etc/systemd/system
changed=

# put FROM TO MODE: only when different, and whole or not at all
put() {
  if [ -f "$2" ] && [ "$(cat "$1")" = "$(cat "$2")" ]; then return 0; fi
  mkdir -p "\${2%/*}"
  cat "$1" > "$2.rum-new"
  chmod "$3" "$2.rum-new"
  mv -f "$2.rum-new" "$2"
  changed=1
}

mkdir -p /var/lib/rum ${AGENT_STATE} "$units/multi-user.target.wants"
chmod 0700 /var/lib/rum
unit=$units/rum-agent.service
reload=
[ ! -e "$unit" ] || reload=1
put "$seed/rum-start.sh" ${AGENT_STATE}/start 0755
put "$seed/rum-agent.service" "$unit" 0644
# As "systemctl enable" does, without the second it takes under emulation.
[ -L "$units/multi-user.target.wants/rum-agent.service" ] ||
  ln -sf ../rum-agent.service "$units/multi-user.target.wants/rum-agent.service"

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

# A seed that lets cloud-init work before the network means the first boot. Later ones have nothing
# left to do there, and their network would wait for it. What lies here is read before the seed, whose
# words count for all that this leaves open.
kept=${LATER_BOOTS}
if grep -q '^dsmode: "local"$' "$seed/meta-data" && [ ! -e "$kept/meta-data" ]; then
  mkdir -p "$kept"
  echo '#cloud-config' > "$kept/user-data"
  echo 'dsmode: net' > "$kept/rum-new"
  mv -f "$kept/rum-new" "$kept/meta-data"
fi
`;

export const START_SCRIPT = `#!/bin/sh
# rum: becomes the guest agent. A shell in between, because SELinux lets a service run a shell and
# not a file below /var/lib or on a mounted seed.
seed=${SEED_MOUNT}
mkdir -p "$seed"
[ -e "$seed/meta-data" ] ||
  mount -t iso9660 -o ro,nosuid,nodev LABEL=${SEED_LABEL} "$seed" 2> /dev/null
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
