import { z } from "zod";
import { streamName, topicLevel } from "./gateway.ts";
import { duration } from "./units.ts";

const DEADBAND = "a number from 0, or a share of the range, is needed, such as 0.5 or 1 %";
const PERCENT = /^(\d+(?:\.\d+)?) ?%$/;
const RATE = /^(\d+(?:\.\d+)?)\/(s|m|h)$/;
const RATE_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

const span = z
  .array(z.number({ error: "a number is needed, such as 0.1" }), { error: "two numbers are needed, such as [0, 100]" })
  .length(2, "two numbers are needed, such as [0, 100]")
  .refine(
    ({ length, 0: least = 0, 1: greatest = 0 }) => length !== 2 || least < greatest,
    "the first number must be below the second",
  );

const oneErrorValue = z.union([z.number(), z.string().min(1)]);

/** The number of `deadband: 1 %`; undefined for a plain number. */
export function percentOf(deadband: number | string): number | undefined {
  return typeof deadband === "string" ? Number(PERCENT.exec(deadband)?.[1]) : undefined;
}

/** When the samples of a tag are sent. */
export const reportShape = {
  deadband: z
    .union([z.number().min(0), z.string().regex(PERCENT, DEADBAND)], {
      error: DEADBAND,
    })
    .optional()
    .describe("Smaller changes are not sent: absolute, or `1 %` of `range`; 0 sends every change."),
  onChange: z
    .boolean()
    .default(false)
    .describe("Send a value only when it is another one; `deadband: 0` says the same."),
  maxSilence: duration(100)
    .optional()
    .describe("What was read is sent at the latest so long after the last time, changed or not."),
  rate: z
    .string({ error: "a rate is needed, such as 1/s, 10/m or 4/h" })
    .regex(RATE, "a rate is needed, such as 1/s, 10/m or 4/h")
    .transform((text) => {
      const [, count = "1", unit = "s"] = RATE.exec(text) ?? [];
      return (RATE_MS[unit] ?? 1000) / Number(count);
    })
    .refine((ms) => Number.isFinite(ms), "a rate above 0 is needed, such as 1/s, 10/m or 4/h")
    .optional()
    .describe("Most samples sent in a second, minute or hour, the newest of them; changes of quality do not wait."),
} as const;

/** What is made of a value, whatever its driver. */
export const valueShape = {
  range: span.optional().describe("Least and greatest value that the quantity has: `[0, 100]`."),
  outOfRange: z
    .enum(["keep", "bad"])
    .default("keep")
    .describe("What becomes of a value outside `range`: it stays as it is, or is bad."),
  clamp: z
    .union([z.literal(true), span], { error: "true, for the range, or two numbers are needed, such as [0, 100]" })
    .optional()
    .describe("A value outside becomes the nearest one inside: `true` for `range`, or `[0, 100]`."),
  enum: z
    .record(z.string(), z.string().min(1))
    .optional()
    .describe("Text for each value: `{ 0: stopped, 1: running }`; a value without text becomes its digits."),
} as const;

export const tagShape = {
  name: topicLevel.describe("Name of the tag, unique within its device."),
  every: duration(10, 86_400_000).prefault("1s").describe("Time between two reads."),
  stream: streamName.default("telemetry").describe("The stream its samples go into."),
  ...reportShape,
  unit: z.string().max(32).optional().describe("Engineering unit, for people and encoders."),
  errorValue: z
    .union([oneErrorValue, z.array(oneErrorValue).min(1)])
    .optional()
    .describe("Raw value, or list of them, that means there is none, such as 0x8000: the sample is bad."),
  scale: z
    .number()
    .refine((scale) => scale !== 0, "a scale of 0 makes every value the same")
    .optional()
    .describe("Factor, in exact decimals."),
  offset: z.number().optional().describe("Added after the factor."),
  ...valueShape,
} as const;

const counterShape = {
  rollover: z
    .union([z.literal("none"), z.literal("16 bit"), z.literal("32 bit"), z.literal("64 bit"), z.number().positive()], {
      error: "none, 16 bit, 32 bit, 64 bit, or the value at which it begins again at 0 is needed, such as 10000",
    })
    .optional()
    .describe(
      "For a difference or a rate: where the counter, before `scale`, begins again at 0; without it by the type of the tag.",
    ),
  maxStep: z
    .number()
    .positive()
    .optional()
    .describe("For a difference or a rate: a greater advance is a reset; without it half of the rollover."),
} as const;

const bitRange = z.union([z.number().int().min(0).max(63), z.string().regex(/^\d{1,2}\.\.\d{1,2}$/)], {
  error: "bits are needed, such as 3 or 3..5; 0 is the lowest and 63 the highest",
});

/** One of `derived` of a device: a tag that is worked out from others. */
export const derivedShape = {
  name: topicLevel.describe("Name of the derived tag, unique among all tags of its device."),
  expr: z
    .string()
    .min(1)
    .max(1000)
    .optional()
    .describe("Worked out from other tags: `power * 24 / 1000`, `level > 80 ? 'full' : 'ok'`."),
  from: topicLevel.optional().describe("The tag it is made from, with `as`, `bit` or `bits`."),
  as: z
    .enum(["difference", "per-second", "per-minute", "per-hour"])
    .optional()
    .describe("Of a counter: how much it advanced since its last reading, or how fast it does."),
  ...counterShape,
  bit: z
    .number()
    .int()
    .min(0)
    .max(63)
    .optional()
    .describe("One bit of a whole number, as true or false; 0 is the lowest."),
  bits: bitRange.optional().describe("Several bits as a number: `3..5`."),
  on: topicLevel
    .optional()
    .describe("Worked out only when this tag was read; without it when any of those it is made from was."),
  stream: streamName
    .optional()
    .describe("The stream its samples go into; without it that of the fastest tag it is made from."),
  unit: z.string().max(32).optional().describe("Engineering unit, for people and encoders."),
  ...reportShape,
  ...valueShape,
} as const;
export const derivedTag = z.strictObject(derivedShape);
