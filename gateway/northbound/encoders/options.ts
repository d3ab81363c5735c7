import { z } from "zod";
import type { Encoder } from "./encoder.ts";
import { flatEncoder } from "./flat.ts";
import { influxEncoder } from "./influx.ts";
import { neuronEncoder } from "./neuron.ts";
import { perTagEncoder } from "./per-tag.ts";
import { rawEncoder } from "./raw.ts";
import { templateBodyFault, templateEncoder } from "./template.ts";
import { thingsboardEncoder } from "./thingsboard.ts";
import { valuesEncoder } from "./values.ts";

const NAMES = ["values", "flat", "per-tag", "neuron", "thingsboard", "influx", "raw"] as const;

const captured = (standard: "wrap" | "raw") =>
  z
    .enum(["wrap", "raw"])
    .default(standard)
    .describe("Captured messages: wrapped in this format, or as they came on their topic.");

const MEASUREMENT = /^([^{}]|\{(gateway|link|device|group)\})+$/;
const RESERVED = /^(gateway|link|device|topic|clock|)$/;

const neuron = z.strictObject({
  name: z.literal("neuron").describe("What EMQX Neuron publishes."),
  format: z.enum(["values", "tags"]).default("values").describe("Neuron's `Values-format` or `Tags-format`."),
});
const thingsboard = z.strictObject({
  name: z.literal("thingsboard").describe("ThingsBoard telemetry, on its own topics."),
  format: z.enum(["gateway", "device"]).default("gateway").describe("A ThingsBoard device each, or one for all."),
  captured: captured("wrap"),
});
const influx = z.strictObject({
  name: z.literal("influx").describe("InfluxDB line protocol."),
  measurement: z
    .string()
    .regex(MEASUREMENT, "only {gateway}, {link}, {device} and {group} are replaced here")
    .default("{device}")
    .describe("Measurement of samples; {gateway}, {link}, {device} and {group} are replaced."),
  tags: z
    .record(z.string(), z.string().min(1))
    .refine(
      (tags) => !Object.keys(tags).some((key) => RESERVED.test(key)),
      "gateway, link, device, topic and clock are set",
    )
    .default({})
    .describe("More tags for every line, besides `gateway`, `link` and `device`."),
  precision: z.enum(["ns", "us", "ms", "s"]).default("ns").describe("Unit of the time of a line."),
  integers: z
    .enum(["wide", "none"])
    .default("wide")
    .describe("`wide`: 64-bit integers are written as such; else floats."),
  captured: captured("wrap"),
});
const template = z.strictObject({
  name: z.literal("template").describe("Bodies from a Liquid template."),
  body: z
    .string()
    .min(1)
    .max(65_536)
    .superRefine((body, context) => {
      const fault = templateBodyFault(body);
      if (fault !== undefined) context.addIssue({ code: "custom", message: `the template is wrong: ${fault}` });
    })
    .describe("The template."),
  contentType: z.string().min(1).max(256).optional().describe("Content type of the messages."),
  captured: z
    .enum(["raw", "template"])
    .default("raw")
    .describe("Captured messages: as they came, or through the template."),
});
const plain = (name: "values" | "flat" | "per-tag" | "raw", about: string) =>
  z.strictObject({ name: z.literal(name).describe(about) });

/** `encoder:` of an uplink as a mapping; a name alone is `{ name }`. */
export const encoderOption = z.discriminatedUnion("name", [
  plain("values", "One JSON object per record, values under `values`."),
  plain("flat", "One flat JSON object per record."),
  plain("per-tag", "One JSON object per tag, on its own topic."),
  neuron,
  thingsboard,
  influx,
  plain("raw", "Payloads as they came; of samples one text per tag."),
  template,
]);

export type EncoderOption = z.output<typeof encoderOption>;

/** What may be written: for documentation and editors. Faults are told by `encoderOption`. */
export const encoderInput = z
  .union([z.enum(NAMES), encoderOption])
  .default("values")
  .describe("Format of the body: a name, or a mapping with `name` and the options of that format.");

/** @param options what the schema gave. @throws RangeError when a template is wrong. */
export function makeEncoder(options: EncoderOption): Encoder {
  switch (options.name) {
    case "values":
      return valuesEncoder;
    case "flat":
      return flatEncoder;
    case "per-tag":
      return perTagEncoder;
    case "raw":
      return rawEncoder;
    case "neuron":
      return neuronEncoder(options);
    case "thingsboard":
      return thingsboardEncoder(options);
    case "influx":
      return influxEncoder(options);
    case "template":
      return templateEncoder(options);
  }
}

/** Whether it sends each tag on a topic of its own. */
export function isPerTag({ name }: EncoderOption): boolean {
  return name === "per-tag" || name === "raw";
}
