import type { LoadedConfig, ScanGroup } from "../../config/types.ts";

/** How much the configured scans write, and how long the queue holds it. */
export interface BufferEstimate {
  readonly samplesPerSecond: number;
  readonly recordsPerSecond: number;
  readonly bytesPerSecond: number;
  /** Average stored size of a record; 0 when nothing is scanned. */
  readonly bytesPerRecord: number;
  /** Seconds until `maxBytes` is reached with every uplink away; absent when nothing is scanned. */
  readonly seconds?: number;
}

/**
 * From the record format: a header of 24 bytes, the chain links of the uplinks, and about two bytes beside each value;
 * LevelDB adds key, lengths and its share of block and batch headers. Deadbands only make it less, captured messages
 * come on top.
 */
export function estimateBuffer(config: LoadedConfig): BufferEstimate {
  const groups = config.links.flatMap((link) => link.groups);
  let samples = 0;
  let records = 0;
  let bytes = 0;
  for (const group of groups) {
    const perSecond = 1000 / group.everyMs;
    samples += (group.tags.length + group.derived.length) * perSecond;
    records += perSecond;
    bytes += recordBytes(group, config.uplinks.length) * perSecond;
  }
  return {
    samplesPerSecond: samples,
    recordsPerSecond: records,
    bytesPerSecond: bytes,
    bytesPerRecord: records === 0 ? 0 : bytes / records,
    ...(bytes === 0 ? {} : { seconds: config.queue.maxBytes / bytes }),
  };
}

const HEADER_BYTES = 24;
const LINK_BYTES = 3;
const SOURCE_AND_COUNT_BYTES = 6;
const BESIDE_VALUE_BYTES = 2;
const LEVELDB_BYTES = 24;

function recordBytes(group: ScanGroup, uplinks: number): number {
  const values = [...group.tags, ...group.derived].reduce(
    (sum, tag) => sum + BESIDE_VALUE_BYTES + valueBytes(tag.type),
    0,
  );
  return HEADER_BYTES + 1 + LINK_BYTES * uplinks + SOURCE_AND_COUNT_BYTES + values + LEVELDB_BYTES;
}

/** A value as stored: booleans lie in the head, integers are varints, scaled ones are doubles at worst. */
function valueBytes(type: string): number {
  if (type.startsWith("bool")) return 0;
  const text = /^string\((\d+)\)$/.exec(type);
  if (text !== null) return 1 + Number(text[1]);
  if (type.includes("64")) return 9;
  if (type.includes("32")) return 5;
  if (type.includes("16")) return 3;
  return 8;
}
