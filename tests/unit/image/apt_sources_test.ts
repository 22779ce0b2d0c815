import assert from "node:assert/strict";
import { debianMirror, parseAptSources } from "../../../src/image/apt_sources.ts";

const DEB822 = `# kept by hand
Types: deb
# a comment inside a stanza
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb deb-src
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: trixie
Components: main
`;

Deno.test("deb822 sources: stanzas, comments, several suites, disabled ones", () => {
  const sources = parseAptSources([{
    path: "/etc/apt/sources.list.d/debian.sources",
    text: DEB822,
  }]);
  assert.deepEqual(sources.map((s) => `${s.uri} ${s.suite} ${s.components.join("+")}`), [
    "http://mirror.example/debian bookworm main+contrib",
    "http://mirror.example/debian bookworm-updates main+contrib",
    "http://mirror.example/debian-security bookworm-security main",
  ]);
  assert.deepEqual(debianMirror(sources), {
    archive: "http://mirror.example/debian",
    security: "http://mirror.example/debian-security",
    signedBy: "/usr/share/keyrings/debian-archive-keyring.gpg",
  });
});

Deno.test("one-line sources: options, comments, deb-src", () => {
  const text = `
# deb http://old.example/debian bookworm main
deb-src http://src.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian trixie main non-free # here
deb http://security.example/debian-security trixie-security main
`;
  assert.deepEqual(debianMirror(parseAptSources([{ path: "/etc/apt/sources.list", text }])), {
    archive: "http://mirror.example/debian",
    security: "http://security.example/debian-security",
    signedBy: "/k.gpg",
  });
});

Deno.test("a third party's repository is never taken for Debian's", () => {
  const text = "deb https://packages.example/apt cloud-sdk-bookworm main\n" +
    "deb https://node.example/node_20.x nodistro main\ndeb http://u.example/ubuntu noble main\n";
  const sources = parseAptSources([{ path: "/etc/apt/sources.list", text }]);
  assert.equal(sources.length, 3);
  assert.throws(() => debianMirror(sources), { code: "image_build", hint: /--mirror/ });
});

Deno.test("files that apt would not read are not read", () => {
  const text = "deb http://mirror.example/debian bookworm main\n";
  assert.deepEqual(parseAptSources([{ path: "/x/debian.list.disabled", text }]), []);
});
