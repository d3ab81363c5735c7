import { z } from "zod";
import { streamName, topicLevel } from "./gateway.ts";
import { duration } from "./units.ts";

/** Keys that every driver's tags, devices and links share; a driver's own keys are merged in beside them. */
export const tagShape = {
  name: topicLevel.describe("Name of the tag, unique within its device."),
  every: duration(10, 86_400_000).prefault("1s").describe("Time between two reads."),
  stream: streamName.default("telemetry").describe("The stream its samples go into."),
  deadband: z.number().min(0).optional().describe("Absolute: smaller changes are not sent; 0 sends every change."),
  unit: z.string().max(32).optional().describe("Engineering unit, for people and encoders."),
} as const;

export const deviceShape = {
  name: topicLevel.describe("Name of the device, unique in the gateway."),
  topic: z.string().min(1).default("{gateway}/{device}").describe("Topic of its samples."),
} as const;

export const linkShape = {
  name: topicLevel.describe("Name of the link, unique in the gateway."),
} as const;
