import { z } from "zod";
import { parsed, type Times, transportSchema, valueShape, written } from "../options.ts";
import { identitySchema } from "./identity.ts";

function schemaOf(times: Times) {
  const value = z.strictObject({
    wave: z
      .enum(["constant", "sine", "ramp", "counter", "random", "toggle"])
      .default("sine")
      .describe("How the value moves; constant is always `value`."),
    min: z.number().default(0).describe("Least value."),
    max: z.number().default(100).describe("Greatest value."),
    period: times.withDefault("10s", 1).describe("Time of one turn, or of one step of counter, random and toggle."),
    value: z
      .union([z.number(), z.string(), z.boolean()])
      .optional()
      .describe("What a constant holds; without it `max`."),
  });
  const register = z.strictObject({
    ...valueShape,
    count: z.number().int().min(1).max(65_536).default(1).describe("So many values one after the other."),
    value: value.optional().describe("What it holds; without it a sine from 0 to 100."),
  });
  const unit = z.strictObject({
    unit: z.number().int().min(0).max(255).describe("Unit id."),
    delay: times.withDefault("0ms", 0).describe("Time it takes to answer."),
    identity: identitySchema.optional().describe("What it says it is, asked by functions 43/14 and 17."),
    registers: z.array(register).min(1).describe("What it has; anything else is an illegal data address."),
  });
  return z.strictObject({
    transport: transportSchema(0).describe("Where it answers."),
    units: z.array(unit).min(1).describe("The units that answer there."),
  });
}

export const simulatorSchema = schemaOf(written);
/** The same after durations were parsed. */
export const settledSimulator = schemaOf(parsed);
export type SimulatorOptions = z.infer<typeof settledSimulator>;
export type RegisterOptions = SimulatorOptions["units"][number]["registers"][number];
