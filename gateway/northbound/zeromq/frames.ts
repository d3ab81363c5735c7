import { Buffer } from "node:buffer";
import type { Outgoing } from "../../core/uplink.ts";

const MAX_REASON = 200;

/** Topic, payload, and the properties as a JSON object of texts: what `push` and `pub` send, and `dealer` after its number. */
export function framesOf({ topic, payload, properties, contentType }: Outgoing): (string | Buffer)[] {
  const named = { ...Object.fromEntries(properties), ...(contentType === undefined ? {} : { contentType }) };
  return [topic, Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength), JSON.stringify(named)];
}

/** What a receiver says of a message. */
export type Answer =
  | { readonly number: string; readonly kind: "accepted" }
  | { readonly number: string; readonly kind: "rejected"; readonly reason: string };

/** `[number]["A"]` or `[number]["R"][reason]`; undefined for anything else. */
export function answerOf(frames: readonly Buffer[]): Answer | undefined {
  const [number, kind, reason] = frames.map(String);
  if (number === undefined || number.length > 20) return undefined;
  if (kind === "A") return { number, kind: "accepted" };
  if (kind !== "R") return undefined;
  const said = (reason ?? "").replace(/\p{C}/gu, " ").slice(0, MAX_REASON);
  return { number, kind: "rejected", reason: said === "" ? "without a reason" : said };
}
