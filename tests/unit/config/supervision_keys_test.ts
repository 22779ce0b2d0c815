/** Every key of supervision reaches what carries it out: none is read and then forgotten. */
import assert from "node:assert/strict";
import { serviceSpecOf } from "../../../src/daemon/env_file.ts";
import { serviceSpecs } from "../../../src/protocol/services.ts";
import { good } from "./fake_reader.ts";

const IMAGE = '[image]\nbase = "debian-12"\n';

Deno.test("[services.NAME]: every key is in the spec that the agent gets, and the agent takes it", async () => {
  const { config } = await good(`${IMAGE}
[services.db]
command = ["db"]
[services.web]
command = ["web", "a b"]
cwd = "/srv/app"
env = { PORT = "80" }
user = "rum"
instances = 3
after = ["db"]
restart = { policy = "always", max = 7, within = "90s", min_uptime = "20s", backoff = "linear", first = "2s", max_delay = "1m" }
health = { http = "http://127.0.0.1/", interval = "3s", timeout = "2s", unhealthy = 4, healthy = 2 }
shutdown = { signal = "QUIT", timeout = "15s" }
log = { max_size = "1M", keep = 4 }
`);
  const specs = await Promise.all(config.services.map(serviceSpecOf));
  assert.deepEqual(serviceSpecs(JSON.parse(JSON.stringify(specs)), "specs"), specs);
  assert.deepEqual(specs.find((spec) => spec.name === "web"), {
    name: "web",
    command: ["web", "a b"],
    cwd: "/srv/app",
    env: { PORT: "80" },
    user: "rum",
    instances: 3,
    after: ["db"],
    restart: {
      policy: "always",
      max: 7,
      withinMs: 90_000,
      minUptimeMs: 20_000,
      backoff: "linear",
      firstMs: 2000,
      maxMs: 60_000,
    },
    health: {
      kind: "http",
      url: "http://127.0.0.1/",
      intervalMs: 3000,
      timeoutMs: 2000,
      unhealthy: 4,
      healthy: 2,
    },
    shutdown: { signal: "QUIT", timeoutMs: 15_000 },
    log: { maxBytes: 2 ** 20, keep: 4 },
  });
});

Deno.test("[services.NAME] as short as it can be has the defaults of SPEC section 8", async () => {
  const { config } = await good(`${IMAGE}[services.web]\ncommand = ["web"]\nrestart = "no"\n`);
  const [spec] = await Promise.all(config.services.map(serviceSpecOf));
  assert.deepEqual([spec.instances, spec.user, spec.health], [1, "root", { kind: "none" }]);
  assert.deepEqual(spec.restart, {
    policy: "no",
    max: 5,
    withinMs: 60_000,
    minUptimeMs: 30_000,
    backoff: "exponential",
    firstMs: 1000,
    maxMs: 300_000,
  });
  assert.deepEqual(spec.shutdown, { signal: "TERM", timeoutMs: 10_000 });
  assert.deepEqual(spec.log, { maxBytes: 10 * 2 ** 20, keep: 10 });
});

Deno.test("[recovery], [on.EVENT] and [tasks.screenshot]: every key is in the config", async () => {
  const { config } = await good(`${IMAGE}
[recovery]
on_crash = "preserve"
after_host_restart = "start"
[on.ready]
exec = ["notify-send", "up"]
timeout = "5s"
[tasks.screenshot]
every = "1m"
keep = 7
folder = "shots"
`);
  assert.deepEqual(config.recovery, { onCrash: "preserve", afterHostRestart: "start" });
  const [{ event, exec, timeoutMs }] = config.hooks;
  assert.deepEqual([event, exec, timeoutMs], ["ready", ["notify-send", "up"], 5000]);
  const { screenshotTask } = config;
  assert.deepEqual([screenshotTask?.everyMs, screenshotTask?.keep], [60_000, 7]);
  assert.match(screenshotTask?.folder ?? "", /\/shots$/);
});
