import { ConfigError } from "../core/errors.ts";
import type { Source, StreamName } from "../core/record.ts";
import { STREAMS } from "../core/record.ts";
import { DamagedError } from "./bytes.ts";
import { moreCrc, originCrc } from "./crc.ts";
import { HEADER_KEY } from "./keys.ts";

/** Record format this version writes. It reads the same. */
export const FORMAT = 1;

/** Something whole that a newer version wrote. It must not count as damaged: nothing is touched, the start is refused. */
export class NewerFormatError extends ConfigError {
  readonly format: number;
  readonly where: string | undefined;

  constructor(format: number, where?: string) {
    super(`format ${format}${where === undefined ? "" : ` in ${where}`} is newer than ${FORMAT}`);
    this.format = format;
    this.where = where;
  }
}

/** The `H` entry of a segment. */
export interface SegmentHeader {
  readonly format: number;
  readonly store: string;
  readonly stream: StreamName;
  readonly epoch: number;
  readonly first: number;
  readonly generation: number;
  /** Boot id that the monotonic times of its records belong to. */
  readonly boot: string;
  /** Per chain slot, the last selected seq before this segment. */
  readonly heads: Readonly<Record<string, number>>;
}

/** A meta value: crc32, then JSON. `base` is the crc of the origin. */
export function encodeMeta(base: number, key: Buffer, json: string): Buffer {
  const body = Buffer.from(json);
  const value = Buffer.allocUnsafe(4 + body.length);
  value.writeUInt32BE(moreCrc(moreCrc(base, key), body), 0);
  body.copy(value, 4);
  return value;
}

export function encodeHeader(header: SegmentHeader): Buffer {
  const json = JSON.stringify({
    format: header.format,
    store: header.store,
    stream: header.stream,
    epoch: header.epoch,
    first: header.first,
    generation: header.generation,
    boot: header.boot,
    heads: header.heads,
  });
  return encodeMeta(originCrc(header), HEADER_KEY, json);
}

/**
 * The header vouches for itself: its checksum covers the origin it names.
 * @throws DamagedError; NewerFormatError.
 */
export function decodeHeader(value: Buffer): SegmentHeader {
  const found = parse(value);
  if (!hasOrigin(found)) throw new DamagedError("segment header is incomplete");
  if (value.readUInt32BE(0) !== moreCrc(moreCrc(originCrc(found), HEADER_KEY), value.subarray(4))) {
    throw new DamagedError("segment header fails its checksum");
  }
  if (typeof found.format === "number" && found.format > FORMAT) throw new NewerFormatError(found.format);
  if (!isHeader(found)) throw new DamagedError("segment header is incomplete");
  return found;
}

/** @throws DamagedError. */
export function decodeSource(base: number, key: Buffer, value: Buffer): Source {
  const found = parse(value);
  if (value.readUInt32BE(0) !== moreCrc(moreCrc(base, key), value.subarray(4)) || !isSource(found)) {
    throw new DamagedError("dictionary entry fails its checksum");
  }
  return found;
}

function parse(value: Buffer): unknown {
  if (value.length < 4) throw new DamagedError("entry is too short");
  try {
    return JSON.parse(value.toString("utf8", 4));
  } catch (error) {
    throw new DamagedError("entry is not JSON", { cause: error });
  }
}

/** A header of this version or of another one. */
type Foreign = Pick<SegmentHeader, "store" | "stream" | "epoch"> & Partial<Record<keyof SegmentHeader, unknown>>;

function hasOrigin(found: unknown): found is Foreign {
  if (typeof found !== "object" || found === null) return false;
  const header = found as Partial<Record<keyof SegmentHeader, unknown>>;
  return (
    typeof header.store === "string" &&
    /^[0-9a-f]{32}$/.test(header.store) &&
    STREAMS.some((stream) => stream === header.stream) &&
    Number.isInteger(header.epoch) &&
    Number(header.epoch) >= 0 &&
    Number(header.epoch) <= 0xffff_ffff
  );
}

function isHeader(header: Foreign): header is SegmentHeader {
  return (
    header.format === FORMAT &&
    typeof header.first === "number" &&
    typeof header.generation === "number" &&
    typeof header.boot === "string" &&
    typeof header.heads === "object" &&
    header.heads !== null
  );
}

function isSource(found: unknown): found is Source {
  if (typeof found !== "object" || found === null) return false;
  const source = found as Partial<Record<keyof Source, unknown>>;
  return typeof source.topic === "string" && typeof source.device === "string" && Array.isArray(source.tags);
}
