/** What `image.base` is, told from its text alone: a file named `debian-12` is not looked for. */
export function imageKind(base: string): "name" | "url" | "path" {
  if (/^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(base)) return "url";
  if (base.includes("/") || base.startsWith("~") || /\.(qcow2|img|raw)$/i.test(base)) return "path";
  return "name";
}
