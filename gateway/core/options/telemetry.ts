import { z } from "zod";

export const telemetryOptions = z.strictObject({
  otlp: z
    .strictObject({
      endpoint: z
        .string()
        .regex(/^https?:\/\/[^\s?#]+$/, "a URL such as http://127.0.0.1:4318")
        .describe("Base URL of an OpenTelemetry collector that takes OTLP over HTTP; `/v1/traces` is added."),
      sample: z.number().min(0).max(1).default(0.001).describe("Part of the scans whose way is traced, from 0 to 1."),
    })
    .optional()
    .describe("Traces of the way of samples; none when absent."),
});
export type TelemetryOptions = z.infer<typeof telemetryOptions>;
