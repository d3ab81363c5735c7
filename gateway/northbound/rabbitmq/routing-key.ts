import { createHash } from "node:crypto";

/** A short string of AMQP 0-9-1. */
const MOST_BYTES = 255;
const HASH_CHARS = 16;

/** Levels as words, for bindings such as `plant.line-1.#`; what is too long ends in a hash of the whole. */
export function routingKeyOf(topic: string): string {
  const key = topic.replaceAll(".", "_").replaceAll("/", ".");
  if (Buffer.byteLength(key) <= MOST_BYTES) return key;
  const hash = createHash("sha256").update(topic).digest("hex").slice(0, HASH_CHARS);
  let head = key;
  while (Buffer.byteLength(head) > MOST_BYTES - HASH_CHARS - 1) head = head.slice(0, -1);
  return `${head}.${hash}`;
}

/** The topic of a routing key: its words as levels. */
export function topicOf(routingKey: string): string {
  return routingKey.replaceAll(".", "/");
}
