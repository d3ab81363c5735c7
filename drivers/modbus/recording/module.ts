import type { RecordingModule } from "../../../gateway/core/recording.ts";
import { readLink } from "../options.ts";
import { modbusCapture } from "./capture.ts";
import { replayModbus } from "./replay.ts";

/** What the Modbus driver knows about recordings of its links. */
export const modbusRecording: RecordingModule = {
  capture: (linkOptions, devices) => modbusCapture(readLink(linkOptions), devices),
  replay: replayModbus,
};
