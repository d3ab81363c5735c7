import type { IPublishPacket } from "mqtt-packet";
import { readMessages, type UserProperties } from "../../gateway/cli/verify/wire.ts";

/** What a server received, by record id. */
export interface Received {
  /** How often each id came. */
  readonly ids: ReadonlyMap<string, number>;
  /** Times a record came that had come before. */
  readonly duplicates: number;
  /** Greatest number of records in one message. */
  readonly most: number;
  /** Ids that stood for different content. */
  readonly conflicts: number;
  /** Seqs of records that were told as refused for good. */
  readonly rejected: ReadonlySet<number>;
}

export function received(publishes: readonly IPublishPacket[]): Received {
  const ids = new Map<string, number>();
  const contents = new Map<string, number>();
  const rejected = new Set<number>();
  let duplicates = 0;
  let most = 0;
  let conflicts = 0;
  for (const { payload, properties } of publishes) {
    const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
    const heard = readMessages(bytes, (properties?.userProperties ?? {}) as UserProperties);
    const records = heard.filter((one) => one.kind === "record");
    for (const one of heard) {
      if (one.kind !== "gap" || one.reason !== "rejected") continue;
      for (let seq = one.from; seq <= one.to; seq++) rejected.add(seq);
    }
    most = Math.max(most, records.length);
    for (const { id, crc } of records) {
      const times = (ids.get(id) ?? 0) + 1;
      if (times > 1) duplicates++;
      ids.set(id, times);
      if (contents.has(id) && contents.get(id) !== crc) conflicts++;
      contents.set(id, crc);
    }
  }
  return { ids, duplicates, most, conflicts, rejected };
}
