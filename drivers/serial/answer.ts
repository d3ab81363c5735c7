import { type BytesSpec, bytesOf } from "./bytes.ts";
import type { Fields } from "./parse/parser.ts";

/** The most of one field that is said back. */
const MAX_FIELD = 256;
const FIELD = /\{([A-Za-z_][A-Za-z0-9_.]*)\}/g;

/** The fields that an answer says back. */
export function placesIn(answer: BytesSpec | undefined): string[] {
  if (answer === undefined) return [];
  return [...bytesOf(answer).toString("latin1").matchAll(FIELD)].map(([, name = ""]) => name);
}

/** The bytes of an answer to a telegram with these fields; one that the telegram does not have is empty. */
export function answerBytes(answer: BytesSpec, fields: Fields | undefined): Buffer {
  const text = bytesOf(answer).toString("latin1");
  const filled = text.replaceAll(FIELD, (_, name: string) => {
    const value = fields?.(name);
    return value === undefined || value === null ? "" : printableOnly(String(value).slice(0, MAX_FIELD));
  });
  return Buffer.from(filled, "latin1");
}

/** A telegram must not be able to put control characters into what is said to its device. */
function printableOnly(text: string): string {
  return [...text].filter((char) => char >= " " && char <= "~").join("");
}
