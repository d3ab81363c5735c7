import { z } from "zod";
import { bytes, checksumSchema, parsed, serialShape, type Times, written } from "../options.ts";

function schemaOf(times: Times) {
  const value = z.strictObject({
    min: z.number().default(0).describe("Least value."),
    max: z.number().default(100).describe("Greatest value."),
    period: times.withDefault("60s", 10).describe("Time of one turn from least to greatest and back."),
    decimals: z.number().int().min(0).max(9).default(2).describe("Digits after the point."),
    width: z.number().int().min(0).max(32).default(0).describe("Characters, filled up with blanks from the left."),
    list: z.array(z.string()).min(1).optional().describe("Texts instead of numbers, one after the other."),
  });
  const telegram = z.strictObject({
    ask: bytes(256).optional().describe("Said when this was asked."),
    every: times.optional(10).describe("Said by itself, again after this time."),
    say: bytes(1024).describe("What is said; `{name}` stands for a value."),
    checksum: checksumSchema.optional().describe("Sum at the end of it."),
    skip: z.number().int().min(0).max(64).default(0).describe("Bytes at its beginning that the sum does not cover."),
  });
  return z.strictObject({
    transport: z
      .discriminatedUnion("type", [
        z.strictObject({ type: z.literal("serial").optional(), ...serialShape }),
        z.strictObject({
          type: z.literal("tcp"),
          host: z.enum(["127.0.0.1", "::1", "localhost"]).default("127.0.0.1"),
          port: z.number().int().min(0).max(65_535).default(4_001).describe("0 takes a free one."),
        }),
      ])
      .describe("Where it speaks."),
    values: z.record(z.string().regex(/^\w+$/), value).default({}).describe("What moves."),
    telegrams: z.array(telegram).min(1).describe("What it says."),
  });
}

export const simulatorSchema = schemaOf(written);
/** The same after durations were parsed. */
export const settledSimulator = schemaOf(parsed);
export type SimulatorOptions = z.infer<typeof settledSimulator>;
export type ValueOptions = SimulatorOptions["values"][string];
export type TelegramOptions = SimulatorOptions["telegrams"][number];
