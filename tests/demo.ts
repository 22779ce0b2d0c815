/**
 * `deno task demo`: from a bare Debian or Ubuntu machine to a running example machine, saying every
 * step before it is taken. It uses nothing but the commands that a user has.
 */
import { IMAGE_PACKAGES, installPackages, RUN_PACKAGES } from "./support/host_packages.ts";

const ROOT = new URL("../", import.meta.url).pathname;
const CONFIG = `${ROOT}docs/examples/rum.toml`;
const RUM = [Deno.execPath(), "run", "--quiet", "--allow-all", `${ROOT}main.ts`];

async function main(): Promise<number> {
  await installPackages([...RUN_PACKAGES, ...IMAGE_PACKAGES], say);
  const fixed = await rum(["doctor", "--fix", "-y"]);
  if (fixed !== 0) return fixed;
  if (!await haveImage()) {
    say("Getting the base image debian-12");
    if (await rum(["image", "pull", "debian-12"]) !== 0) {
      say(
        "It cannot be downloaded here; building it from Debian packages instead (about a minute)",
      );
      const code = await rum(["image", "build", "debian-12"]);
      if (code !== 0) return code;
    }
  }
  for (
    const args of [["up", "-d"], ["exec", "--", "uname", "-a"], ["status"]] as const
  ) {
    const code = await rum(["-c", CONFIG, ...args], `rum ${args.join(" ")}`);
    if (code !== 0) return code;
  }
  const alias = `alias rum='${RUM.join(" ")} -c ${CONFIG}'`;
  say(`The machine is up. To go on with it in this shell:

  ${alias}
  rum shell              a login shell
  rum exec -- COMMAND    run something
  rum down               shut it down, keeping everything
  rum destroy            delete it`);
  return 0;
}

async function haveImage(): Promise<boolean> {
  const { stdout, code } = await new Deno.Command(RUM[0], {
    args: [...RUM.slice(1), "image", "ls", "-o", "json"],
    stdin: "null",
    stderr: "null",
  }).output();
  if (code !== 0) return false;
  const { images } = JSON.parse(new TextDecoder().decode(stdout));
  return images.some((image: { names: string[] }) => image.names.includes("debian-12"));
}

async function rum(args: readonly string[], shown = `rum ${args.join(" ")}`): Promise<number> {
  say(`$ ${shown}`);
  const { code } = await new Deno.Command(RUM[0], {
    args: [...RUM.slice(1), ...args],
    stdin: "null",
  }).spawn().status;
  return code;
}

function say(line: string): void {
  console.log(`\n${line}`);
}

if (import.meta.main) Deno.exit(await main());
