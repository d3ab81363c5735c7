import type { RecordingModule } from "../../../gateway/core/recording.ts";
import { readLink } from "../options.ts";
import { serialCapture } from "./capture.ts";
import { replaySerial } from "./replay.ts";

/** What the serial driver knows about recordings of its links. */
export const serialRecording: RecordingModule = {
  capture: (linkOptions, devices) => serialCapture(readLink(linkOptions), devices),
  replay: replaySerial,
};
