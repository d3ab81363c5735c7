import { z } from "zod";
import { ConfigError } from "../../gateway/core/errors.ts";
import { duration } from "../../gateway/core/options/units.ts";
import { LAST_ADDRESS, MAX_BITS, MAX_REGISTERS } from "./address.ts";
import { ORDER_NAMES } from "./codec/order.ts";
import { BITS_TYPE, SIMPLE_TYPE_NAMES, STRING_TYPE } from "./codec/types.ts";
import { parseHole } from "./plan/hole.ts";

/**
 * Every schema exists twice: as people write it (`1s`), and as it is after that was parsed (1000), so that options that
 * arrive as `unknown` can be read again without a cast.
 */
export interface Times {
  /** A duration that has a default, given as people write it. */
  withDefault(text: string, minMs: number): z.ZodType<number>;
  optional(minMs: number): z.ZodType<number | undefined>;
}
export const written: Times = {
  withDefault: (text, minMs) => duration(minMs).prefault(text),
  optional: (minMs) => duration(minMs).optional(),
};
export const parsed: Times = { withDefault: () => z.number(), optional: () => z.number().optional() };

const portNumber = z.number().int().max(65_535);

const lineShape = (dataBits: 7 | 8) => ({
  path: z.string().min(1).describe("Serial port; /dev/serial/by-id/… keeps its name."),
  baud: z.number().int().min(300).max(4_000_000).default(19_200).describe("Bits per second."),
  parity: z.enum(["even", "none", "odd"]).default("even").describe("Parity bit."),
  dataBits: z
    .union([z.literal(8), z.literal(7)])
    .default(dataBits)
    .describe("Data bits of a character; RTU needs 8, ASCII mostly has 7."),
  stopBits: z
    .union([z.literal(1), z.literal(2)])
    .optional()
    .describe("Stop bits; without it 1, or 2 when there is no parity bit."),
});

/** @param leastPort 0 where the port is listened on, and 0 takes a free one. */
export function transportSchema(leastPort: 0 | 1) {
  const host =
    leastPort === 0 ? z.string().min(1).default("127.0.0.1") : z.string().min(1).describe("Name or address.");
  const port = portNumber.min(leastPort);
  const withIds = {
    host,
    port: port.default(502).describe("Port."),
    ignoreTransactionId: z
      .boolean()
      .default(false)
      .describe("For gateways that answer with a wrong transaction id: answers are told apart as on a serial line."),
  };
  const tunnel = { host, port: port.describe("TCP port of the serial device server.") };
  return z.discriminatedUnion(
    "type",
    [
      z.strictObject({ type: z.literal("tcp"), ...withIds }),
      z.strictObject({ type: z.literal("udp"), ...withIds }),
      z.strictObject({ type: z.literal("rtu"), ...lineShape(8) }),
      z.strictObject({ type: z.literal("rtu-over-tcp"), ...tunnel }),
      z.strictObject({ type: z.literal("ascii"), ...lineShape(7) }),
      z.strictObject({ type: z.literal("ascii-over-tcp"), ...tunnel }),
    ],
    {
      error:
        "a transport has the type tcp, udp, rtu, rtu-over-tcp, ascii or ascii-over-tcp, such as { type: tcp, host: 192.0.2.10 }",
    },
  );
}

function isHole(text: string): boolean {
  try {
    parseHole(text);
    return true;
  } catch {
    return false;
  }
}

function linkShape(times: Times) {
  return {
    transport: transportSchema(1).describe("How the units are reached."),
    timeout: times
      .withDefault("1s", 10)
      .describe("How long a unit may take to answer, beside the time its answer is on the wire."),
    connectTimeout: times.withDefault("3s", 10).describe("How long connecting may take."),
    pauseAfterConnect: times
      .withDefault("0ms", 0)
      .describe("Pause between connecting and the first question, for devices that are deaf at first."),
    guard: times
      .withDefault("0ms", 0)
      .describe("Least pause between an answer and the next question, beside the silence that RTU demands."),
    inFlight: z
      .number()
      .int()
      .min(1)
      .max(16)
      .default(1)
      .describe("Questions at once, on tcp and udp, for devices that allow it; answers may come in any order."),
  };
}

function deviceShape(times: Times) {
  return {
    unit: z.number().int().min(0).max(255).describe("Unit id: 1 to 247; on tcp and udp also 0 and 255."),
    maxRegisters: z
      .number()
      .int()
      .min(1)
      .max(MAX_REGISTERS)
      .default(MAX_REGISTERS)
      .describe("Most registers the unit gives in one answer."),
    maxCoils: z
      .number()
      .int()
      .min(1)
      .max(MAX_BITS)
      .default(MAX_BITS)
      .describe("Most coils or discrete inputs the unit gives in one answer."),
    maxGap: z
      .number()
      .int()
      .min(0)
      .max(MAX_REGISTERS)
      .optional()
      .describe("Most registers read needlessly to join two tags; without it as many as save time on the bus."),
    maxCoilGap: z
      .number()
      .int()
      .min(0)
      .max(MAX_BITS)
      .optional()
      .describe("Most coils or discrete inputs read needlessly to join two tags; without it as many as save time."),
    align: z
      .number()
      .int()
      .min(2)
      .max(LAST_ADDRESS)
      .optional()
      .describe("Page size: no request crosses an address that is a multiple of this, unless a value does."),
    holes: z
      .array(z.string().refine(isHole, 'a hole is "holding:10..19", "holding:10", or "holding:10|" for a border'))
      .default([])
      .describe("What must not be read: `holding:10..19`, `holding:10`; `holding:10|` is a border no request crosses."),
    learn: z
      .boolean()
      .default(true)
      .describe("Learn holes, limits and the time to answer from the unit's answers, and keep them."),
    timeout: times.optional(10).describe("Overrides the link's timeout for this unit."),
  };
}

const typeName = z.union([z.enum(SIMPLE_TYPE_NAMES), z.string().regex(STRING_TYPE), z.string().regex(BITS_TYPE)], {
  error: `a type is one of ${SIMPLE_TYPE_NAMES.join(", ")}, string(n) or bits(start,width)`,
});

const finite = z.number({ error: "a number is needed, such as 0.1" });

/** Where a value is and what its registers mean; the simulator has the same keys. */
export const valueShape = {
  address: z
    .union([z.string().min(1), z.number()], {
      error: 'an address is needed, such as "holding:0", "holding:7.3" or 40001',
    })
    .describe(
      "Zero-based `coil:0`, `discrete:0`, `input:0`, `holding:0`, `holding:7.3` for a bit; or classic 40001, 400001.",
    ),
  type: typeName.describe("What the registers mean."),
  order: z
    .enum(ORDER_NAMES, { error: `an order is one of ${ORDER_NAMES.join(", ")}` })
    .optional()
    .describe("Order of the bytes on the wire, A the most significant; without it the most significant first."),
};

const writableOf = (times: Times) =>
  z
    .union(
      [
        z.boolean(),
        z.strictObject({
          min: finite.optional().describe("Least value that is written."),
          max: finite.optional().describe("Greatest value that is written."),
          maxStep: finite
            .positive()
            .optional()
            .describe("Greatest change from the present value that one command may make."),
          every: times.optional(1).describe("Least time between two commands that write it."),
          verify: z
            .boolean()
            .default(true)
            .describe("Read back what was written; not for registers that change by themselves."),
        }),
      ],
      { error: "writable is true, or has min, max and verify, such as { min: 0, max: 300 }" },
    )
    .optional()
    .describe("Whether the value may be written, and within which bounds.");

export const linkSchema = z.strictObject(linkShape(written));
export const deviceSchema = z.strictObject(deviceShape(written));
export const tagSchema = z.strictObject({
  ...valueShape,
  scale: finite
    .refine((scale) => scale !== 0, "a scale of 0 makes every value the same")
    .optional()
    .describe("Factor."),
  offset: finite.optional().describe("Added after the factor."),
  scaleFactor: z
    .union([z.string().min(1), z.number()], { error: 'a tag or an address is needed, such as "holding:40075"' })
    .optional()
    .describe("Register with a power of ten (SunSpec), an address or another tag; read in the same request."),
  notImplemented: z
    .boolean()
    .optional()
    .describe(
      "The type's own number for none (SunSpec: 0x8000, 0xFFFF, …), NaN or an empty text is bad; true with `scaleFactor`.",
    ),
  writable: writableOf(written),
});

const settledLink = z.object(linkShape(parsed));
const settledDevice = z.object(deviceShape(parsed));
const settledTag = z.object({ ...tagSchema.shape, writable: writableOf(parsed) });

export type LinkOptions = z.infer<typeof settledLink>;
export type DeviceOptions = z.infer<typeof settledDevice>;
export type TagOptions = z.infer<typeof settledTag>;
export type Transport = LinkOptions["transport"];
export type RtuTransport = Extract<Transport, { type: "rtu" }>;
export type TcpTransport = Extract<Transport, { type: "tcp" }>;
/** A line of this machine. */
export type SerialTransport = Extract<Transport, { type: "rtu" | "ascii" }>;
/** Reached through IP. */
export type NetTransport = Exclude<Transport, SerialTransport>;

export function isSerial(transport: Transport): transport is SerialTransport {
  return transport.type === "rtu" || transport.type === "ascii";
}

/** Questions and answers carry a transaction id that is believed. */
export function hasIds(transport: Transport): boolean {
  return (transport.type === "tcp" || transport.type === "udp") && !transport.ignoreTransactionId;
}

/** Options as a schema gave them. @throws ConfigError when they never went through it. */
export const readLink = (options: unknown): LinkOptions => settle(settledLink, options);
export const readDevice = (options: unknown): DeviceOptions => settle(settledDevice, options);
export const readTag = (options: unknown): TagOptions => settle(settledTag, options);

/** What `check` looks at: a whole link with its devices and tags. */
export const settledTree = settledLink.extend({
  devices: z.array(
    settledDevice.extend({
      name: z.string().optional(),
      tags: z.array(settledTag.extend({ name: z.string().optional() })),
    }),
  ),
});

function settle<T>(schema: z.ZodType<T>, options: unknown): T {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  throw new ConfigError(z.prettifyError(result.error), { cause: result.error });
}
