import { z } from "zod";

export const httpOptions = z.strictObject({
  host: z
    .string()
    .regex(/^[A-Za-z0-9.:-]{1,253}$/, "an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them")
    .default("127.0.0.1")
    .describe("Where to listen. Beyond loopback only with `tls`."),
  port: z.number().int().min(0).max(65_535).default(8080).describe("TCP port; 0 takes a free one."),
  tls: z
    .strictObject({
      cert: z.string().min(1).describe("PEM file of the certificate, with its chain."),
      key: z.string().min(1).describe("PEM file of its private key."),
    })
    .optional()
    .describe("TLS, at least 1.2; file names are relative to the configuration."),
  hosts: z
    .array(z.string().regex(/^[A-Za-z0-9._-]{1,253}$/, "a name without port, such as gateway.plant.example"))
    .max(32)
    .default([])
    .describe("Names under which it is asked, besides loopback names and the address itself."),
});
export type HttpOptions = Omit<z.infer<typeof httpOptions>, "hosts"> & { readonly hosts?: readonly string[] };
