import { Buffer } from "node:buffer";
import { z } from "zod";
import { checkTopic } from "../core/selector.ts";
import { type Reply, replyIn } from "./command.ts";

const MAX_CORRELATION = 1024;
const result = z.looseObject({ id: z.string() });

/** What a message says of where its result is to go. */
export interface ReplySource {
  readonly payload: Uint8Array;
  readonly uplink?: string;
  readonly responseTopic?: string;
  readonly correlation?: Uint8Array;
}

/**
 * Where the sender wants the result besides the result topic: the response topic of MQTT 5, or `replyTo` of the body, with
 * which clients of 3.1.1 say the same. Undefined where nowhere. A topic that nobody can publish to is passed over.
 */
export function replyOf({ payload, uplink, responseTopic, correlation }: ReplySource): Reply | undefined {
  const { topic: written, token } = replyIn(payload);
  const asked = responseTopic ?? written;
  const topic = asked !== undefined && isTopic(asked) ? asked : undefined;
  if (topic === undefined && token === undefined) return undefined;
  const known = topic !== undefined && correlation !== undefined && correlation.byteLength <= MAX_CORRELATION;
  return {
    ...(topic === undefined ? {} : { topic }),
    ...(known ? { correlation: Buffer.from(correlation).toString("base64") } : {}),
    ...(token === undefined ? {} : { token }),
    ...(uplink === undefined ? {} : { uplink }),
  };
}

/** The id of a result's body; undefined when it is none. */
export function resultId(payload: Uint8Array): string | undefined {
  try {
    const read = result.safeParse(JSON.parse(Buffer.from(payload).toString("utf8")));
    return read.success ? read.data.id : undefined;
  } catch {
    return undefined;
  }
}

function isTopic(topic: string): boolean {
  if (topic.startsWith("$") || topic.includes("\uFFFD")) return false;
  try {
    checkTopic(topic);
    return true;
  } catch {
    return false;
  }
}
