import type { Entry } from "../../core/record.ts";
import type { Outgoing } from "../../core/uplink.ts";
import type { TopicMapper } from "../topics.ts";

/** What an encoder has to know besides the record; the same for all of a lane of a connection. */
export interface EncodeContext {
  readonly gatewayId: string;
  readonly topics: TopicMapper;
  /** Whether id, prev and the rest go into the body, because properties do not travel. */
  readonly envelope: boolean;
  /** Whether the record is from the past, sent beside live ones. */
  readonly historical: boolean;
}

/**
 * Turns a record into what goes upstream, at the moment it is sent. Pure and quick: it runs for each message of a drain.
 */
export interface Encoder {
  readonly name: string;
  /**
   * How bodies of samples of one topic may be joined into one message: as elements of a JSON array, or as lines of text.
   * Absent: not at all. Captured messages are never joined.
   */
  readonly joins?: "json" | "lines";
  /**
   * The messages of one record, in order; the record is settled when all of them are acknowledged. None when the record
   * says nothing in this format: it is settled at once.
   * @throws when the record cannot be expressed: it is rejected and told as a gap.
   */
  encode(entry: Entry, context: EncodeContext): readonly Outgoing[];
}
