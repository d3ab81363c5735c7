import { z } from "zod";
import type { UserProperties } from "./wire.ts";

const userProperties = z.record(z.string(), z.union([z.string(), z.array(z.string())]));

/** One line of a file of messages; mosquitto_sub's `%j` (payload as text) and `%J` (payload as JSON) among them. */
const line = z.object({
  payload: z.unknown(),
  retain: z.union([z.boolean(), z.number()]).optional(),
  properties: z
    .looseObject({ "user-properties": userProperties.optional(), userProperties: userProperties.optional() })
    .optional(),
});

export interface SavedMessage {
  readonly payload: Buffer;
  readonly properties: UserProperties;
  readonly retained: boolean;
}

/** @returns undefined when the text is not such a line. */
export function readLine(text: string): SavedMessage | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = line.safeParse(json);
  if (!parsed.success || parsed.data.payload === undefined) return undefined;
  const { payload, retain, properties } = parsed.data;
  const body = typeof payload === "string" ? payload : JSON.stringify(payload);
  const flat = userProperties.safeParse(properties);
  return {
    payload: Buffer.from(body),
    properties: properties?.["user-properties"] ?? properties?.userProperties ?? (flat.success ? flat.data : {}),
    retained: retain === true || retain === 1,
  };
}
