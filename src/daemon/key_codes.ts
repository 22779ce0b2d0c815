/**
 * Key names and characters → Linux key codes, as virDomainSendKey takes them (its Linux code set).
 * Pure. Codes name places on a keyboard: text is typed as on a US layout, which is what a console
 * has unless somebody set another one.
 */
import { RumError } from "../base/errors.ts";
import { nearest } from "../base/typo.ts";

/** QEMU takes at most this many at once. */
export const MAX_KEYS_AT_ONCE = 16;

const ROWS: readonly (readonly [first: number, names: string])[] = [
  [1, "esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab"],
  [16, "q w e r t y u i o p leftbrace rightbrace enter leftctrl"],
  [30, "a s d f g h j k l semicolon apostrophe grave leftshift backslash"],
  [44, "z x c v b n m comma dot slash rightshift kpasterisk leftalt space capslock"],
  [59, "f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 numlock scrolllock"],
  [71, "kp7 kp8 kp9 kpminus kp4 kp5 kp6 kpplus kp1 kp2 kp3 kp0 kpdot"],
  [86, "102nd f11 f12"],
  [96, "kpenter rightctrl kpslash sysrq rightalt"],
  [102, "home up pageup left right end down pagedown insert delete"],
  [113, "mute volumedown volumeup power"],
  [119, "pause"],
  [125, "leftmeta rightmeta menu"],
];

const OTHER_NAMES: Readonly<Record<string, string>> = {
  escape: "esc",
  ret: "enter",
  return: "enter",
  ctrl: "leftctrl",
  control: "leftctrl",
  shift: "leftshift",
  alt: "leftalt",
  altgr: "rightalt",
  meta: "leftmeta",
  super: "leftmeta",
  win: "leftmeta",
  del: "delete",
  ins: "insert",
  pgup: "pageup",
  pgdn: "pagedown",
  bksp: "backspace",
  spc: "space",
  caps: "capslock",
  print: "sysrq",
};

export const KEY_CODES: ReadonlyMap<string, number> = new Map([
  ...ROWS.flatMap(([first, names]) =>
    names.split(" ").map((name, i): [string, number] => [name, first + i])
  ),
]);

function codeOf(name: string): number | undefined {
  return KEY_CODES.get(name) ?? KEY_CODES.get(OTHER_NAMES[name] ?? "");
}

/** `ctrl+alt+f2` → the codes that are pressed together. @throws {RumError} `invalid_params` */
export function chordOf(words: string): readonly number[] {
  const names = words.toLowerCase().split("+");
  const codes = names.map((name) => {
    const code = codeOf(name);
    if (code !== undefined) return code;
    if (name === "") {
      throw new RumError("invalid_params", `Cannot press "${words}": found no key beside a "+"`, {
        hint: "rum keys --help",
      });
    }
    const guess = nearest(name, [...KEY_CODES.keys(), ...Object.keys(OTHER_NAMES)]);
    throw new RumError(
      "invalid_params",
      `Cannot press "${words}": found no key "${name}"` +
        (guess === undefined ? "" : `; did you mean "${guess}"?`),
      { hint: "rum keys --help" },
    );
  });
  if (codes.length > MAX_KEYS_AT_ONCE || new Set(codes).size < codes.length) {
    throw new RumError(
      "invalid_params",
      `Cannot press "${words}": found ${codes.length} keys, wanted at most ${MAX_KEYS_AT_ONCE} different ones`,
    );
  }
  return codes;
}

const PLAIN: Readonly<Record<string, string>> = {
  "-": "minus",
  "=": "equal",
  "[": "leftbrace",
  "]": "rightbrace",
  ";": "semicolon",
  "'": "apostrophe",
  "`": "grave",
  "\\": "backslash",
  ",": "comma",
  ".": "dot",
  "/": "slash",
  " ": "space",
  "\n": "enter",
  "\t": "tab",
};
const SHIFTED: Readonly<Record<string, string>> = {
  "!": "1",
  "@": "2",
  "#": "3",
  "$": "4",
  "%": "5",
  "^": "6",
  "&": "7",
  "*": "8",
  "(": "9",
  ")": "0",
  "_": "minus",
  "+": "equal",
  "{": "leftbrace",
  "}": "rightbrace",
  ":": "semicolon",
  '"': "apostrophe",
  "~": "grave",
  "|": "backslash",
  "<": "comma",
  ">": "dot",
  "?": "slash",
};

/** One chord a character. @throws {RumError} `invalid_params` before anything is typed */
export function chordsOfText(text: string): (readonly number[])[] {
  const shift = KEY_CODES.get("leftshift")!;
  return [...text.replaceAll("\r\n", "\n")].map((character) => {
    if (/^[a-z0-9]$/.test(character)) return [KEY_CODES.get(character)!];
    if (/^[A-Z]$/.test(character)) return [shift, KEY_CODES.get(character.toLowerCase())!];
    if (Object.hasOwn(PLAIN, character)) return [KEY_CODES.get(PLAIN[character])!];
    if (Object.hasOwn(SHIFTED, character)) return [shift, KEY_CODES.get(SHIFTED[character])!];
    throw new RumError(
      "invalid_params",
      `Cannot type U+${
        character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")
      }: a US keyboard has no key for it`,
      { hint: "rum exec or rum cp bring any text into the guest" },
    );
  });
}
