/**
 * The manual for coding agents, printed by `rum skill`. Blocks marked ```sh run in CI as written,
 * in this order, against one machine; so an example here is an example that works.
 */
export const SKILL = `---
name: rum
description: Get a real virtual machine from one rum.toml, run commands in it, copy files, read logs. Use when work needs a full Linux machine (root, systemd, kernel, services) rather than a container.
---

# rum for coding agents

rum makes one libvirt/QEMU machine per rum.toml. Every command starts, does its job and exits;
nothing asks a question when stdin is not a terminal. Add \`-o json\` to any command for one JSON
document (NDJSON for streams). \`up\`, \`down\`, \`restart\`, \`pause\`, \`resume\`, \`provision\` and \`destroy\` print
events as NDJSON before it: the last line is the document. Errors are one JSON object on stderr with \`code\`, \`exit\`, \`message\`
and often \`hint\`, which is a command to run next. Every document has \`v\` (1) and \`type\`; the shapes are in
docs/output.schema.json of the project.

## Bring a machine up

\`\`\`sh
rum init --defaults
rum config check -o json
rum up -d -o json
\`\`\`

\`up -d\` returns when the machine is ready (scripts passed, services run, network there) and may be
called again at any time: it changes only what differs. Exit 10 means a provisioning script failed: the
machine stays up, the message names the script and its log. Exit 124 means a deadline passed: nothing
was stopped or deleted.

## Run commands

\`\`\`sh
rum exec -- uname -a
rum exec 'cd /etc && ls | wc -l'
echo hello | rum exec -- tee /tmp/hello
rum exec -u rum -- id -un
rum exec -e GREETING=hi -- sh -c 'echo $GREETING'
\`\`\`

Several words are argv, untouched. One word with a space or shell character runs with \`sh -c\`. The
exit code is the command's own; 255 is rum's own failure, 124 after \`--timeout\`.

## Look

\`\`\`sh
rum status -o json
rum list -o json
rum log --list -o json
rum events -o json
\`\`\`

\`status\` and \`list\` exit 0 for a stopped or absent machine; read \`phase\`.

## Wait

\`\`\`sh
rum wait --for agent --timeout 2m
rum wait --for port:22 --timeout 2m
rum wait --for exec:'test -e /tmp/hello' --timeout 30s
\`\`\`

## Change something and provision again

\`\`\`sh
rum provision -o json
\`\`\`

## Stop, start, delete

\`\`\`sh
rum down
rum up -d
rum destroy -y
\`\`\`

\`down\` deletes nothing, ever. \`destroy\` deletes the machine and its disks; base images stay.

## Exit codes

0 ok, 1 internal, 2 usage, 3 config, 4 not found, 5 not running, 6 busy, 7 daemon, 8 protocol,
9 hypervisor, 10 provisioning, 11 agent unreachable, 12 host prerequisite, 124 time-out,
130 interrupted; exec: the guest's own, 255 for rum's failure.

## When something is wrong

1. Read \`code\` and \`hint\` of the error; run the hint.
2. \`rum status -o json\`, then \`rum log --failed\` or \`rum log --source boot\`.
3. \`rum doctor -o json\` for what the host lacks.
4. \`rum up -d\` is always safe to run again.
`;
