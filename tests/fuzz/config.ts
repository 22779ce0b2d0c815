/** rum.toml: whatever it holds, the answer is a config or diagnostics with good positions. */
import { EXAMPLE, isAnswered } from "../unit/config/answered.ts";
import { mutated } from "./mutate.ts";
import type { Target } from "./target.ts";

const encoder = new TextEncoder();
const CORPUS = [
  EXAMPLE,
  ...EXAMPLE.split(/\n(?=\[)/),
  'image.base = "debian-12"\n',
  'name = "x"\n[image]\nbase = "https://h/x"\nsha256 = "00"\n[network]\nnat = false\n',
  '[[network.interfaces]]\nnetwork = "lab"\nip = "192.168.1.4"\n[on.ready]\nexec = ["./x"]\n',
].map((text) => encoder.encode(text));
const WORDS = [
  ...new Set(EXAMPLE.match(/[a-z_]+|"[^"\n]*"|\[+[^\]\n]*\]+/g)),
  "\n",
  " = ",
  '"""',
  "'''",
  "__proto__",
  "constructor",
  "\ufeff",
  "\\u0000",
  "\r\n",
  "nan",
  "1979-05-27T07:32:00Z",
  "0x7fffffffffffffff",
].map((word) => encoder.encode(word));

export const config: Target = {
  name: "config",
  async once(random, show) {
    const bytes = mutated(random, CORPUS, WORDS);
    show(bytes);
    await isAnswered(new TextDecoder().decode(bytes));
  },
};
