import { z } from "zod";

export const httpOptions = z.strictObject({
  host: z
    .enum(["127.0.0.1", "::1", "localhost"], { error: "only loopback in this version: 127.0.0.1, ::1 or localhost" })
    .default("127.0.0.1")
    .describe("Loopback only: health and metrics carry no password."),
  port: z.number().int().min(0).max(65_535).default(8080).describe("TCP port; 0 takes a free one."),
});
export type HttpOptions = z.infer<typeof httpOptions>;
