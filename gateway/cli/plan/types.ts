import type { LoadedConfig, LoadedUplink } from "../../config/types.ts";
import type { NewRecord, Source, StreamName } from "../../core/record.ts";

/** What the plan is made with beside the configuration: the gateway's own record format and encoders. */
export interface PlanTools {
  /** Bytes of the record as it is stored, without what the log adds; `uplinks` have selected it. */
  storedBytes(record: NewRecord, uplinks: number): number;
  /** Bytes that each segment holds once for this source. */
  dictionaryBytes(source: Source): number;
  sender(uplink: LoadedUplink, config: LoadedConfig): Sender;
}

/** An uplink as far as it can be told without its server. */
export interface Sender {
  /** Of its bodies. */
  readonly format: string;
  selects(topic: string): boolean;
  /** Messages without an acknowledgement at once, and their payload bytes. */
  readonly inFlight: number;
  readonly inFlightBytes: number;
  readonly maxRate: { readonly messages?: number | undefined; readonly bytes?: number | undefined };
  /** Several records of one topic in one message; absent where the format cannot, or it is not asked for. */
  readonly batch?: { readonly count: number; readonly bytes: number; readonly lingerMs: number };
  /** Bytes on the wire of each message that these records of one source go in, at best together. */
  messages(records: readonly NewRecord[], historical: boolean): readonly number[];
}

/** Records of one source: a scan group, or what a capture rule takes in. */
export interface Flow {
  /** `line-1/meter-1 every 1 s`, or `captured factory/#`. */
  readonly name: string;
  readonly link?: string;
  readonly topic: string;
  readonly stream: StreamName;
  readonly perSecond: number;
  /** Values in a record on average; 0 for messages. */
  readonly values: number;
  /** Whether records come at equal distances. */
  readonly periodic: boolean;
  /** Each is acknowledged to its sender after its own fsync. */
  readonly durable: boolean;
  /** A record with so many values; `n` tells one from the next. */
  record(values: number, n: number): NewRecord;
}

/** What a record of a flow costs here and on its way. */
export interface Sized {
  readonly flow: Flow;
  /** As stored, and with what the log adds to it. */
  readonly storedBytes: number;
  readonly diskBytes: number;
  /** Per segment. */
  readonly dictionaryBytes: number;
}

/** What one record costs an uplink, on average over the flows that it selects. */
export interface Cost {
  readonly messages: number;
  readonly bytes: number;
}

export interface UplinkLoad {
  readonly name: string;
  readonly type: string;
  readonly format: string;
  readonly order: "fifo" | "live-first";
  readonly required: boolean;
  readonly recordsPerSecond: number;
  readonly byStream: Readonly<
    Record<StreamName, { readonly recordsPerSecond: number; readonly storedPerSecond: number }>
  >;
  readonly live: Cost;
  readonly drain: Cost;
  readonly inFlight: number;
  /** What it may be sent per second, each absent where nothing limits it so. */
  readonly limits: readonly Limit[];
  /** Records a second that it takes when it is behind, what comes in meanwhile included; absent where nothing limits it. */
  readonly recordsPerSecondAtMost: number;
  /** Records a second by which a backlog becomes less; 0 or less where it never does. */
  readonly drainPerSecond: number;
  readonly limitedBy: string;
  readonly maxBacklog: { readonly bytes?: number | undefined; readonly age?: number | undefined };
}

export interface Limit {
  readonly name: string;
  readonly unit: "messages" | "bytes";
  readonly perSecond: number;
}
