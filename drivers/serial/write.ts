import type { TagWrite, WriteResult } from "../../gateway/core/driver.ts";
import type { Value } from "../../gateway/core/sample.ts";
import { bytesOf } from "./bytes.ts";
import type { Talker } from "./parse/talker.ts";

export const PLACE = "{value}";
const MAX_VALUE = 1_024;

/** The bytes that a write sends, or why it sends none. */
export function bytesToWrite(talker: Talker, { tag, value }: TagWrite): Buffer | { readonly reason: string } {
  const { write } = talker.spoken(tag).options;
  if (write === undefined) return { reason: "the tag has no `write`" };
  const text = textOf(value);
  if (text.length > MAX_VALUE) return { reason: `longer than ${MAX_VALUE} characters` };
  if ([...text].some(isControl)) return { reason: "control characters are not sent" };
  const { encoding } = talker.options.parse;
  const content = encoding === "hex" ? hexBytes(text) : encoded(text, encoding);
  if (!content) return { reason: `cannot be written in ${encoding}` };
  const template = bytesOf(write);
  const at = template.indexOf(PLACE, 0, "latin1");
  if (at < 0) return template;
  return Buffer.concat([template.subarray(0, at), content, template.subarray(at + PLACE.length)]);
}

export function refused(tag: string, reason: string): WriteResult {
  return { tag, ok: false, reason };
}

function textOf(value: Value): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("latin1");
  if (typeof value === "boolean") return value ? "1" : "0";
  return String(value);
}

/** What a printer or a display would take for an order. */
function isControl(char: string): boolean {
  return char < " " || char === "\x7f";
}

function hexBytes(text: string): Buffer | undefined {
  return /^([0-9a-f]{2})*$/i.test(text) ? Buffer.from(text, "hex") : undefined;
}

function encoded(text: string, encoding: "ascii" | "latin1" | "utf8"): Buffer | undefined {
  if (encoding === "utf8") return Buffer.from(text, "utf8");
  const most = encoding === "ascii" ? 0x7f : 0xff;
  return [...text].every((char) => (char.codePointAt(0) ?? 0) <= most) ? Buffer.from(text, "latin1") : undefined;
}
