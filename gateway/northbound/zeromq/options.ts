import { z } from "zod";
import { duration, secretRef, size } from "../../core/options/units.ts";

export const PATTERNS = ["dealer", "push", "pub"] as const;
export type Pattern = (typeof PATTERNS)[number];

const url = z
  .string({ error: "an address is needed, such as tcp://collector.example.com:5560" })
  .superRefine((text, context) => {
    const fault = urlFault(text);
    if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
  })
  .describe("Where the receiver is bound: tcp://host:port, or ipc:///path on this machine.");

/** A key of CURVE as ZeroMQ's tools print it. */
const z85 = z.string().regex(/^[0-9a-zA-Z.\-:+=^!/*?&<>()[\]{}@%$#]{40}$/, "a CURVE key has 40 characters (Z85)");

/** Keys of a ZeroMQ uplink beside the shared ones and `type`. */
export const zeroMqSchema = z.strictObject({
  url,
  urls: z
    .array(url)
    .max(8)
    .default([])
    .describe("Further receivers, tried in this order when the first cannot be used."),
  pattern: z
    .enum(PATTERNS)
    .default("dealer")
    .describe(
      "`dealer`: a ROUTER acknowledges each message; `push` and `pub` lose messages, for PULL and SUB that are bound.",
    ),
  curve: z
    .strictObject({
      serverKey: z85.describe("Public key of the receiver."),
      publicKey: z85.optional().describe("Public key of ours; a new pair for each connection when absent."),
      secretKey: secretRef.optional().describe("Secret key of ours, which goes with `publicKey`."),
    })
    .optional()
    .describe("Encryption, and proof of who the receiver is."),
  heartbeat: duration(100, 600_000)
    .prefault("5s")
    .describe("A dead receiver is found within about three times this time."),
  connectTimeout: duration(100, 300_000).prefault("10s").describe("Time for TCP and the handshake together."),
  ackTimeout: duration(100, 600_000)
    .prefault("5s")
    .describe(
      "Time for an answer to a message, which is then sent again; without any answer the connection is made anew.",
    ),
  inFlight: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(200)
    .describe("Messages without an answer at once; the bound of duplicates."),
  maxMessage: size(256).prefault("16MiB").describe("Bytes of one message at most."),
});
export type ZeroMqOptions = z.output<typeof zeroMqSchema>;

function urlFault(text: string): string | undefined {
  if (/^ipc:\/\/\/./.test(text)) return undefined;
  if (!text.startsWith("tcp://")) return "must begin with tcp:// or ipc:///";
  const [, host = "", port = ""] = /^tcp:\/\/(\[[0-9a-fA-F:.]+\]|[^:/\s@?#*]+):(\d+)$/.exec(text) ?? [];
  if (host === "" || Number(port) < 1 || Number(port) > 65_535)
    return "must be host and port, such as tcp://collector.example.com:5560";
  return undefined;
}

/** Whether what is sent there stays on this machine. */
export function isLocal(text: string): boolean {
  return text.startsWith("ipc:") || /^tcp:\/\/(localhost|127\.[0-9.]+|\[::1\]):/.test(text);
}
