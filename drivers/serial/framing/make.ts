import { type BytesSpec, bytesOf } from "../bytes.ts";
import type { FramingOptions } from "../options.ts";
import { DelimiterFramer } from "./delimiter.ts";
import { FixedFramer } from "./fixed.ts";
import type { Framer, FramerEvents } from "./framer.ts";
import { IdleGapFramer } from "./idle-gap.ts";
import { LengthPrefixFramer } from "./length-prefix.ts";
import { StxEtxFramer } from "./stx-etx.ts";

export function makeFramer(options: FramingOptions, events: FramerEvents): Framer {
  switch (options.type) {
    case "delimiter": {
      const { delimiter } = options;
      const delimiters = (Array.isArray(delimiter) ? delimiter : [delimiter]).map(bytesOf);
      return new DelimiterFramer({ ...options, delimiters }, events);
    }
    case "fixed":
      return new FixedFramer({ ...options, start: optional(options.start), end: optional(options.end) }, events);
    case "length-prefix":
      return new LengthPrefixFramer({ ...options, start: optional(options.start) }, events);
    case "stx-etx": {
      const [own] = optional(options.escape);
      return new StxEtxFramer(
        { ...options, start: bytesOf(options.start), end: bytesOf(options.end), escape: own },
        events,
      );
    }
    case "idle-gap":
      return new IdleGapFramer(options.maxBytes, events);
  }
}

/** The silence after which a framer is told of it, in milliseconds. */
export function silenceMs(options: FramingOptions): number {
  return options.type === "idle-gap" ? options.gap : options.unfinished;
}

function optional(spec: BytesSpec | undefined): Buffer {
  return spec === undefined ? Buffer.alloc(0) : bytesOf(spec);
}
