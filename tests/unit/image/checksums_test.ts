import assert from "node:assert/strict";
import fc from "fast-check";
import { checksumFor, parseChecksums } from "../../../src/image/checksums.ts";

const A = "a1".repeat(32);
const B = "b2".repeat(32);
const C = "c3".repeat(64);

const FEDORA = `-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

# Fedora-Cloud-Base-Generic-43-1.6.x86_64.qcow2: 583532544 bytes
SHA256 (Fedora-Cloud-Base-Generic-43-1.6.x86_64.qcow2) = ${A}
# Fedora-Cloud-Base-UEFI-UKI-43-1.6.x86_64.qcow2: 100 bytes
SHA256 (Fedora-Cloud-Base-UEFI-UKI-43-1.6.x86_64.qcow2) = ${B}
-----BEGIN PGP SIGNATURE-----

${"iQIzBAEBCAAdFiEE".repeat(4)}
=${"abcd"}
-----END PGP SIGNATURE-----
`;

const TABLE: readonly [title: string, text: string, file: string, want: string | undefined][] = [
  ["SHA256SUMS with binary marks", `${A} *a.img\n${B} *b.img\n`, "b.img", `sha256 ${B}`],
  ["SHA512SUMS with two spaces", `${C}  a.qcow2\n`, "a.qcow2", `sha512 ${C}`],
  [
    "Fedora's signed CHECKSUM",
    FEDORA,
    "Fedora-Cloud-Base-Generic-43-1.6.x86_64.qcow2",
    `sha256 ${A}`,
  ],
  ["one line, of the dated name", `${A}  x-2026.1.qcow2\n`, "x-latest.qcow2", `sha256 ${A}`],
  ["a bare digest", `${A}\n`, "x.qcow2", `sha256 ${A}`],
  ["capitals and CRLF", `${A.toUpperCase()}  x\r\n`, "x", `sha256 ${A}`],
  ["a path before the name", `${A}  ./images/x\n`, "x", `sha256 ${A}`],
  ["both algorithms: the longer one", `${A}  x\n${C}  x\n`, "x", `sha512 ${C}`],
  ["several lines, none of them ours", `${A}  y\n${B}  z\n`, "x", undefined],
  ["one name twice, two digests", `${A}  x\n${B}  x\n`, "x", undefined],
  ["a web page", "<html><body>Sorry</body></html>", "x", undefined],
  ["a digest of the wrong length", `SHA256 (x) = ${C}\n`, "x", undefined],
  ["nothing", "", "x", undefined],
];

for (const [title, text, file, want] of TABLE) {
  Deno.test(`checksum file: ${title}`, () => {
    const found = checksumFor(text, file);
    assert.equal(found && `${found.algorithm} ${found.hex}`, want);
  });
}

Deno.test("what coreutils and BSD tools write for any file name is read back", () => {
  const name = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 40 }).filter((s) =>
    !/[/\n\r\\]/.test(s) && s.trim() === s && !s.startsWith("*")
  );
  fc.assert(
    fc.property(fc.array(name, { minLength: 2, maxLength: 8 }), fc.boolean(), (names, bsd) => {
      const unique = [...new Set(names)];
      const hex = (i: number) => i.toString(16).padStart(64, "0");
      const text = unique.map((n, i) => bsd ? `SHA256 (${n}) = ${hex(i)}` : `${hex(i)}  ${n}`);
      for (const [i, n] of unique.entries()) {
        assert.equal(checksumFor(text.join("\n"), n)?.hex, hex(i));
      }
    }),
  );
});

Deno.test("no text makes the parser throw or answer with something that is no digest", () => {
  fc.assert(fc.property(fc.string({ maxLength: 400 }), (text) => {
    for (const { algorithm, hex } of parseChecksums(text)) {
      assert.match(hex, algorithm === "sha256" ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{128}$/);
    }
  }));
});
