import { z } from "zod";
import { topicLevel } from "./gateway.ts";
import { recorderOptions } from "./recorder.ts";
import { derivedTag } from "./tag.ts";

/** Keys that every driver's tags (`tagShape`), devices and links share; a driver's own keys are merged in beside them. */
export { tagShape } from "./tag.ts";

export const deviceShape = {
  name: topicLevel.describe("Name of the device, unique in the gateway."),
  topic: z.string().min(1).default("{gateway}/{device}").describe("Topic of its samples."),
  derived: z.array(derivedTag).default([]).describe("Tags that are worked out from others of the device."),
} as const;

export const linkShape = {
  name: topicLevel.describe("Name of the link, unique in the gateway."),
  recorder: recorderOptions.prefault({}).describe("The flight recorder: what passed on the wire last."),
} as const;
