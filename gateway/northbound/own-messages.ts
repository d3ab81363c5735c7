import { Buffer } from "node:buffer";
import { z } from "zod";
import type { Incoming } from "../core/uplink.ts";

/** The record id is the first thing in a body that carries it, and in the first element of a joined one. */
const BODY_HEADS = ['{"_m":{"id":', '[{"_m":{"id":'] as const;

/** Status, gaps and clocks carry no id; they name their gateway in a body that begins so. */
const CONTROL_HEADS = ["status", "gap", "clock"].map((type) => `{"type":"${type}",`);
const control = z.looseObject({ gateway: z.string() });

/** Whether this gateway sent the message up itself: its record id says so, as a property or in the body. */
export function isOwn({ properties, payload }: Pick<Incoming, "properties" | "payload">, gatewayId: string): boolean {
  if (properties.some(([name, value]) => name === "id" && value.startsWith(`${gatewayId}/`))) return true;
  const own = JSON.stringify(`${gatewayId}/`).slice(0, -1);
  if (BODY_HEADS.some((head) => startsWith(payload, head + own))) return true;
  return CONTROL_HEADS.some((head) => startsWith(payload, head)) && gatewayOf(payload) === gatewayId;
}

function gatewayOf(payload: Uint8Array): string | undefined {
  try {
    const read = control.safeParse(JSON.parse(Buffer.from(payload).toString("utf8")));
    return read.success ? read.data.gateway : undefined;
  } catch {
    return undefined;
  }
}

function startsWith(payload: Uint8Array, text: string): boolean {
  const bytes = Buffer.from(text);
  return payload.byteLength >= bytes.byteLength && bytes.equals(payload.subarray(0, bytes.byteLength));
}
