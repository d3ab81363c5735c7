import { z } from "zod";

const text = z.string();
const whole = z.number().int();
const packetId = whole.min(0).max(65_535);

/** Client, packet identifier (0: none yet), QoS, and what became of it. */
const recipient = z.tuple([text, packetId, whole, z.enum(["", "sent", "received"])]);
const subscription = z.looseObject({ topic: text, qos: whole });

const message = z.object({
  k: z.literal("message"),
  number: whole,
  wallMs: z.number().optional(),
  topic: text,
  payload: text,
  qos: whole,
  retain: z.boolean().optional(),
  to: z.array(recipient).optional(),
  /** The client that published it with QoS 2, and its packet identifier. */
  by: z.tuple([text, packetId]).optional(),
});

const line = z.discriminatedUnion("k", [
  z.object({ k: z.literal("head"), version: whole, number: whole }),
  z.object({
    k: z.literal("session"),
    c: text,
    nextPacketId: packetId,
    connected: z.boolean(),
    leftMs: z.number().optional(),
    user: text.optional(),
    incoming: z.array(packetId),
  }),
  message,
  /** A packet identifier was given to a message, and it was sent. */
  z.object({ k: z.literal("numbered"), c: text, number: whole, id: packetId }),
  z.object({ k: z.literal("received"), c: text, number: whole }),
  /** Acknowledged, or given up. */
  z.object({ k: z.literal("settled"), c: text, numbers: z.array(whole) }),
  z.object({ k: z.literal("released"), c: text, id: packetId }),
  z.object({ k: z.literal("subscribed"), c: text, filters: z.array(subscription), user: text.optional() }),
  z.object({ k: z.literal("unsubscribed"), c: text, filters: z.array(text) }),
  z.object({ k: z.literal("connected"), c: text, user: text.optional() }),
  z.object({ k: z.literal("left"), c: text, wallMs: z.number().optional() }),
  z.object({ k: z.literal("ended"), c: text }),
]);

/** What happened to the sessions, as one line of the journal. */
export type SessionLine = z.infer<typeof line>;
export type MessageLine = z.infer<typeof message>;
export type Recipient = z.infer<typeof recipient>;

export const FORMAT_VERSION = 1;

/** Lines are numbered one by one, so that it can be told how many are missing. */
const numbered = z.object({ i: whole });

/** Undefined where it is none. */
export function readLine(content: unknown): { index: number; line: SessionLine } | undefined {
  const index = numbered.safeParse(content);
  const read = line.safeParse(content);
  return index.success && read.success ? { index: index.data.i, line: read.data } : undefined;
}
