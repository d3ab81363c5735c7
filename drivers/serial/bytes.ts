/** Bytes as people write them: text (in YAML best in double quotes, where `\r` and `\x02` mean bytes), or `{ hex: "02 0D" }`. */
export type BytesSpec = string | { readonly hex: string };

export const HEX = /^\s*([0-9a-fA-F]{2}\s*)+$/;
const WRITTEN_OUT = /\\(r|n|t|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4})/;

export function bytesOf(spec: BytesSpec): Buffer {
  return typeof spec === "string" ? Buffer.from(spec, "latin1") : Buffer.from(spec.hex.replaceAll(/\s/g, ""), "hex");
}

/** Why a text cannot be meant as bytes; undefined when it can. */
export function bytesFault(spec: BytesSpec): string | undefined {
  if (typeof spec !== "string") return undefined;
  const found = WRITTEN_OUT.exec(spec);
  if (found) return `\\${found[1]} is read as a backslash and letters here: use double quotes, as in "\\r\\n"`;
  if ([...spec].some((char) => (char.codePointAt(0) ?? 0) > 255))
    return 'it has characters beyond one byte: write the bytes, such as { hex: "C3 A4" }';
  return undefined;
}

/** How many bytes of a telegram are shown to people. */
export const SHOWN = 64;

export function hexOf(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.subarray(0, SHOWN)).toString("hex").toUpperCase();
  return `${(hex.match(/../g) ?? []).join(" ")}${bytes.length > SHOWN ? " …" : ""}`;
}

/** The same as text; what cannot be printed is a dot. */
export function printable(bytes: Uint8Array): string {
  const text = Buffer.from(bytes.subarray(0, SHOWN)).toString("latin1");
  return `${text.replaceAll(/[^\x20-\x7e]/g, ".")}${bytes.length > SHOWN ? "…" : ""}`;
}
