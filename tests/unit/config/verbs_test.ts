/** config, trust and init as a user runs them: exit codes, what is printed, what is written. */
import assert from "node:assert/strict";
import { sandbox } from "../../support/rum.ts";

const DOZEN = `nmae = "demo"
cpus = 4
[image]
base = "debian 12"
[resources]
cpus = "two"
memory = "2Q"
[network]
nat = yes
[[mounts]]
source = "nowhere"
target = "/data"
[[mounts]]
source = "."
target = "/data/inside"
type = "virtiosf"
[[ports]]
host = 8080
guest = 80
[[ports]]
host = 8080
guest = 70000
[on.reday]
exec = ["true"]
`;

Deno.test("a dozen different mistakes are a dozen positioned diagnostics and exit 3", async (t) => {
  await using box = await sandbox();
  const folder = box.project;
  await Deno.writeTextFile(`${folder}/rum.toml`, DOZEN);
  const { code, stdout, stderr } = await box.rum(["config", "check"]);
  assert.equal(code, 3);
  assert.equal(stdout, "");
  assert.equal(stderr.match(/^rum\.toml:\d+:\d+: /gm)?.length, 12);
  await t.assertSnapshot(stderr);

  const json = await box.rum(["config", "check", "-o", "json"]);
  assert.equal(json.code, 3);
  const error = JSON.parse(json.stderr);
  assert.equal(error.code, "config_invalid");
  assert.equal(error.data.diagnostics.length, 12);
  for (const { file, line, column, endColumn, source } of error.data.diagnostics) {
    assert.equal(file, "rum.toml");
    assert.equal(source, DOZEN.split("\n")[line - 1]);
    assert.ok(column >= 1 && endColumn > column && endColumn <= source.length + 2);
  }
});

Deno.test("an approval is asked for, remembered, and void once a hook's script changes", async () => {
  await using box = await sandbox();
  const folder = box.project;
  await Deno.writeTextFile(
    `${folder}/rum.toml`,
    '[image]\nbase = "debian-12"\n[on.ready]\nexec = ["./hook.sh"]\n',
  );
  await Deno.writeTextFile(`${folder}/hook.sh`, "echo 1\n");
  const trusted = async () =>
    JSON.parse((await box.rum(["config", "check", "-o", "json"])).stdout).trusted;
  assert.equal(await trusted(), false);
  assert.equal((await box.rum(["trust"])).code, 2);
  assert.equal(await trusted(), false);
  assert.equal((await box.rum(["trust", "-y"])).code, 0);
  assert.equal(await trusted(), true);
  await Deno.writeTextFile(`${folder}/hook.sh`, "echo 2\n");
  assert.equal(await trusted(), false);
});

Deno.test("init --defaults writes a good file, and never over one that is there", async () => {
  await using box = await sandbox();
  const folder = box.project;
  assert.equal((await box.rum(["init"])).code, 2);
  assert.equal((await box.rum(["init", "--defaults"])).code, 0);
  assert.equal((await box.rum(["config", "check"])).code, 0);
  const before = await Deno.readTextFile(`${folder}/rum.toml`);
  const again = await box.rum(["init", "--defaults", "-o", "json"]);
  assert.equal(again.code, 2);
  assert.equal(JSON.parse(again.stderr).code, "already_exists");
  assert.equal(await Deno.readTextFile(`${folder}/rum.toml`), before);
});

Deno.test("without a rum.toml the exit code is 4 and a fifo of that name does not hang", async () => {
  await using box = await sandbox();
  const folder = box.project;
  assert.equal((await box.rum(["config", "check"])).code, 4);
  const made = await new Deno.Command("mkfifo", { args: [`${folder}/rum.toml`] }).output();
  assert.ok(made.success);
  const { code, stderr } = await box.rum(["config", "check"]);
  assert.equal(code, 3);
  assert.match(stderr, /not a regular file/);
});
