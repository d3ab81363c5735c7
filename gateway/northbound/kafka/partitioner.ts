import type { ICustomPartitioner, PartitionerArgs } from "kafkajs";

/** Sources of a gateway, at most; then they are worked out anew. */
const MOST_KEYS = 10_000;

/** As `partitioner`, which does the same hash for each message of the same key again. */
export function remembering(partitioner: ICustomPartitioner): ICustomPartitioner {
  return () => {
    const choose = partitioner();
    const known = new Map<string, number>();
    return (args: PartitionerArgs) => {
      const { topic, partitionMetadata, message } = args;
      if (typeof message.key !== "string") return choose(args);
      const key = `${partitionMetadata.length} ${topic} ${message.key}`;
      const before = known.get(key);
      if (before !== undefined) return before;
      const chosen = choose(args);
      if (known.size >= MOST_KEYS) known.clear();
      known.set(key, chosen);
      return chosen;
    };
  };
}
