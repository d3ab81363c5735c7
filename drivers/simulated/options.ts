import { z } from "zod";
import { ConfigError } from "../../gateway/core/errors.ts";
import { duration } from "../../gateway/core/options/units.ts";

export const TYPES = [
  "bool",
  "int16",
  "uint16",
  "int32",
  "uint32",
  "int64",
  "uint64",
  "float32",
  "float64",
  "string",
] as const;
export type TypeName = (typeof TYPES)[number];

export const WAVES = ["sine", "ramp", "counter", "random", "toggle", "constant"] as const;
export type WaveName = (typeof WAVES)[number];

export const linkSchema = z.strictObject({
  seed: z.number().int().default(1).describe("Another seed gives another plant with the same tags."),
  replyTime: duration(0, 60_000).prefault("5ms").describe("Time from a request to its answer."),
});

export const deviceSchema = z.strictObject({});

const waveShape = {
  type: z.enum(TYPES).default("float64").describe("Type of the value."),
  wave: z
    .enum(WAVES)
    .default("sine")
    .describe(
      "How the value moves: a sine, a ramp that falls back, a count, a random level, on and off, or not at all.",
    ),
  min: z.number().default(0).describe("Least value; the value of a constant."),
  max: z.number().default(100).describe("Greatest value; a count begins again after it."),
};

export const tagSchema = z.strictObject({
  ...waveShape,
  period: duration(10)
    .prefault("60s")
    .describe("Length of one sine, ramp or on-and-off; time between two steps of a count or a random level."),
});

/** The same after parsing: durations are milliseconds. */
const settledLink = z.object({ seed: z.number(), replyTime: z.number() });
const settledTag = z.object({ ...waveShape, period: z.number() });
export type LinkSettings = z.infer<typeof settledLink>;
export type TagSettings = z.infer<typeof settledTag>;

/** A link as `check` gets it: only what is looked at. */
export const settledTree = z.object({
  devices: z.array(z.object({ tags: z.array(settledTag) })),
});

/** @throws ConfigError when these are not the options of a simulated link. */
export function readLink(options: unknown): LinkSettings {
  return read(settledLink, options, "link");
}

/** @throws ConfigError when these are not the options of a simulated tag. */
export function readTag(options: unknown, name: string): TagSettings {
  return read(settledTag, options, `tag "${name}"`);
}

function read<T>(schema: z.ZodType<T>, options: unknown, what: string): T {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  throw new ConfigError(`${what}: ${result.error.issues[0]?.message ?? "not understood"}`);
}
