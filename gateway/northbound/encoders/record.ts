import type { Encoder } from "./encoder.ts";

/** Bytes of the right number, and no others. */
const BLANK = new Uint8Array(64 * 1024);

/** For uplinks that make the bodies themselves: hands the records on. The payload only has about the size of what is stored. */
export const recordEncoder: Encoder = {
  name: "record",
  encode(entry, { historical }) {
    const { content, bytes } = entry;
    return [
      {
        topic: content.kind === "samples" ? content.source.topic : content.topic,
        payload: BLANK.subarray(0, bytes),
        qos: 1,
        retain: false,
        properties: [],
        record: { entry, historical },
      },
    ];
  },
};
