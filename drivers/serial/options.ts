import { z } from "zod";
import { ConfigError } from "../../gateway/core/errors.ts";
import { duration } from "../../gateway/core/options/units.ts";
import { bytesFault, HEX } from "./bytes.ts";
import { CHECKSUMS } from "./framing/checksum.ts";
import { COVERS } from "./framing/stx-etx.ts";

/** Every schema exists twice: as people write it (`1s`), and as it is after that was parsed (1000). */
export interface Times {
  withDefault(text: string, minMs: number): z.ZodType<number>;
  optional(minMs: number): z.ZodType<number | undefined>;
}
export const written: Times = {
  withDefault: (text, minMs) => duration(minMs, 86_400_000).prefault(text),
  optional: (minMs) => duration(minMs, 86_400_000).optional(),
};
export const parsed: Times = { withDefault: () => z.number(), optional: () => z.number().optional() };

/** The longest telegram of any framing; those that look for their way byte by byte have a lower limit. */
const MAX_TELEGRAM = 65_536;
export const MAX_WINDOW = 4_096;

/** Bytes as people write them. */
export function bytes(most: number) {
  const text = z
    .string()
    .min(1)
    .max(most)
    .check((ctx) => {
      const fault = bytesFault(ctx.value);
      if (fault) ctx.issues.push({ code: "custom", message: fault, input: ctx.value });
    });
  const hex = z.strictObject({ hex: z.string().regex(HEX, 'hex digits in pairs are needed, such as "02 0D"') });
  return z.union([text, hex], {
    error: (issue) => innerFault(issue) ?? 'text is needed, such as "\\r\\n", or { hex: "0D 0A" }',
  });
}

/** The fault of the branch that the value was meant for. */
function innerFault(issue: { readonly input?: unknown; readonly errors?: unknown }): string | undefined {
  return typeof issue.input === "string" && issue.input !== "" ? bytesFault(issue.input) : undefined;
}

export const serialShape = {
  path: z.string().min(1).describe("Serial port; /dev/serial/by-id/… keeps its name."),
  baud: z.number().int().min(110).max(4_000_000).default(9_600).describe("Bits per second."),
  parity: z.enum(["none", "even", "odd"]).default("none").describe("Parity bit."),
  dataBits: z
    .union([z.literal(8), z.literal(7)])
    .default(8)
    .describe("Data bits of a character."),
  stopBits: z
    .union([z.literal(1), z.literal(2)])
    .default(1)
    .describe("Stop bits."),
  flow: z.enum(["none", "rts-cts", "xon-xoff"]).default("none").describe("Flow control."),
} as const;

const port = z.number().int().min(1).max(65_535);

const transportSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("serial").optional(), ...serialShape }),
  z.strictObject({
    type: z.literal("tcp"),
    host: z.string().min(1).describe("Name or address of a serial device server."),
    port: port.describe("TCP port of its raw socket, often 4001."),
  }),
  z.strictObject({
    type: z.literal("tcp-listen"),
    host: z
      .string()
      .min(1)
      .default("127.0.0.1")
      .describe("Address to listen on, for devices that connect to the gateway."),
    port: z.number().int().min(0).max(65_535).describe("TCP port to listen on; 0 takes a free one."),
    allow: z
      .array(z.union([z.ipv4(), z.ipv6()], { error: "an IP address is needed, such as 192.0.2.7" }))
      .default([])
      .describe("Addresses that may connect; needed when `host` is not loopback, which may always."),
  }),
]);

const checksumShape = {
  type: z.enum(CHECKSUMS).describe("xor is BCC; sum8 is mod 256; lrc is its two's complement."),
  encoding: z.enum(["binary", "hex"]).default("binary").describe("Whether it is sent as bytes or as hex digits."),
  endian: z
    .enum(["big", "little"])
    .optional()
    .describe("Order of a CRC's bytes; without it as the CRC's inventors had it."),
} as const;
export const checksumSchema = z.strictObject(checksumShape);

const limits = {
  maxBytes: z
    .number()
    .int()
    .min(1)
    .max(MAX_TELEGRAM)
    .default(1_024)
    .describe("Longest telegram; a longer one is dropped and counted."),
} as const;
const windowLimits = {
  maxBytes: limits.maxBytes
    .unwrap()
    .max(MAX_WINDOW)
    .default(1_024)
    .describe(limits.maxBytes.description ?? ""),
};

function framingSchema(times: Times) {
  const common = {
    unfinished: times
      .withDefault("1s", 10)
      .describe("Silence after which a telegram that has begun will not end any more, and is dropped."),
  };
  const delimiter = z.strictObject({
    type: z.literal("delimiter"),
    delimiter: z
      .union([bytes(8), z.array(bytes(8)).min(1).max(8)], {
        error: (issue) => innerFault(issue) ?? 'text is needed, such as "\\r\\n", or a list of such texts',
      })
      .default("\r\n")
      .describe("What ends a telegram, or a list of what may."),
    checksum: checksumSchema.optional(),
    ...limits,
    ...common,
  });
  const fixed = z.strictObject({
    type: z.literal("fixed"),
    length: z.number().int().min(1).max(MAX_WINDOW).describe("Bytes of a whole telegram."),
    start: bytes(8)
      .optional()
      .describe("What every telegram begins with; with it the way is found again after a fault."),
    end: bytes(8).optional().describe("What every telegram ends with."),
    checksum: checksumSchema.optional(),
    ...common,
  });
  const lengthPrefix = z.strictObject({
    type: z.literal("length-prefix"),
    start: bytes(8).optional().describe("What every telegram begins with."),
    offset: z.number().int().min(0).max(64).default(0).describe("Bytes before the length, `start` included."),
    size: z
      .union([z.literal(1), z.literal(2), z.literal(4)])
      .default(2)
      .describe("Bytes of the length."),
    endian: z.enum(["big", "little"]).default("big").describe("Order of its bytes."),
    counts: z
      .enum(["rest", "whole"])
      .default("rest")
      .describe("What the length counts: all that follows it, or the whole telegram."),
    trailer: z.number().int().min(0).max(64).default(0).describe("Bytes at the end that the length does not count."),
    keepHeader: z.boolean().default(false).describe("Whether what stands before the content is parsed too."),
    checksum: checksumSchema.optional(),
    ...windowLimits,
    ...common,
  });
  const stxEtx = z.strictObject({
    type: z.literal("stx-etx"),
    start: bytes(2).default("\x02").describe("What begins a telegram."),
    end: bytes(2).default("\x03").describe("What ends it."),
    escape: bytes(1).optional().describe("Byte after which the next one is content."),
    checksum: z
      .strictObject({
        ...checksumShape,
        covers: z.enum(COVERS).default("body+end").describe("What it is made of."),
        place: z.enum(["after-end", "before-end"]).default("after-end").describe("Where it stands."),
      })
      .optional(),
    ...limits,
    ...common,
  });
  const idleGap = z.strictObject({
    type: z.literal("idle-gap"),
    gap: times
      .withDefault("50ms", 5)
      .describe("Silence that ends a telegram; USB adapters deliver in pieces up to 16 ms apart."),
    ...limits,
  });
  return z.discriminatedUnion("type", [delimiter, fixed, lengthPrefix, stxEtx, idleGap]);
}

function linkShape(times: Times) {
  return {
    transport: transportSchema.describe("How the devices are reached."),
    framing: framingSchema(times).describe("How a telegram is told from the next."),
    timeout: times.withDefault("1s", 10).describe("How long a device that is asked may take to answer."),
  };
}

export const ENCODINGS = ["ascii", "latin1", "utf8", "hex"] as const;

const columnRange = z.union([z.number().int().min(1), z.string().regex(/^\d+(-\d+)?$/)], {
  error: 'columns are needed, such as 3 or "3-10"; the first one is 1',
});

const parseSchema = z.strictObject({
  encoding: z
    .enum(ENCODINGS)
    .default("ascii")
    .describe("What the bytes mean. With hex every byte is two digits, for binary telegrams."),
  pattern: z
    .string()
    .min(1)
    .max(1_000)
    .optional()
    .describe("Regular expression; its named groups are the fields: `(?<weight>[0-9.]+)`."),
  columns: z
    .record(z.string().min(1), columnRange)
    .optional()
    .describe('Fields by their place: `{ weight: "3-10" }`, counted from 1.'),
  json: z.boolean().default(false).describe("Whether a telegram is JSON; a field is a path such as `items.0.code`."),
});

function deviceShape(times: Times) {
  return {
    parse: parseSchema
      .prefault({})
      .describe("How fields are found; without pattern, columns and json the whole telegram is the field `text`."),
    ask: bytes(256)
      .optional()
      .describe("What the device is asked with; without it the gateway listens to what it says."),
    timeout: times.optional(10).describe("Overrides the link's timeout for this device."),
    holdOff: times
      .optional(10)
      .describe("The same values (of the `events` tags, where there are some) again within this time are one reading."),
    minInterval: times
      .optional(10)
      .describe(
        "For a device that says something all the time: at most one telegram in this time is taken, the newest.",
      ),
    answer: z
      .strictObject({
        accepted: bytes(256).describe(
          "Sent when all that came of a telegram is on disk; `{name}` stands for a field of it, such as its number.",
        ),
        refused: bytes(256)
          .optional()
          .describe(
            "Sent when a telegram cannot be read or kept; without it nothing is said, and the device repeats it.",
          ),
      })
      .optional()
      .describe("For a device that repeats what it says until it is told that it arrived."),
    silentAfter: times
      .optional(100)
      .describe("For a device that should say something all the time: silence after which its tags are bad."),
  };
}

export const TYPES = ["float64", "int64", "bool", "string", "bytes"] as const;
export type TypeName = (typeof TYPES)[number];

const words = z.array(z.string()).min(1);

const tagShape = {
  type: z.enum(TYPES).describe("What the field means; an int64 may have any size up to 64 bits."),
  field: z
    .string()
    .min(1)
    .max(128)
    .optional()
    .describe("Field of the telegram; without it the tag's own name, or `text`."),
  ask: bytes(256).optional().describe("Asked for this tag instead of the device's."),
  decimal: z.enum(["point", "comma"]).default("point").describe("Decimal sign."),
  radix: z
    .union([z.literal(10), z.literal(16)])
    .default(10)
    .describe("Base of an int64."),
  trueIs: words.optional().describe("Texts of a bool that are true; without it 1, true, on, yes."),
  falseIs: words
    .optional()
    .describe("Texts that are false; with `trueIs` alone all others, without both 0, false, off, no."),
  trim: z.boolean().default(true).describe("Whether blanks around a string are removed."),
  unitFrom: z
    .strictObject({
      field: z.string().min(1).describe("Field that holds the unit."),
      factors: z
        .record(z.string().min(1), z.number())
        .describe("Factor for each unit: `{ kg: 1, g: 0.001 }`; any other makes the tag bad."),
    })
    .optional(),
  write: bytes(512)
    .optional()
    .describe("What a write sends; `{value}` stands for the value. A tag with it and no `field` is only written."),
} as const;

export const linkSchema = z.strictObject(linkShape(written));
export const deviceSchema = z.strictObject(deviceShape(written));
export const tagSchema = z.strictObject(tagShape);

const settledLink = z.object(linkShape(parsed));
const settledDevice = z.object(deviceShape(parsed));
const settledTag = z.object(tagShape);

export type LinkOptions = z.infer<typeof settledLink>;
export type DeviceOptions = z.infer<typeof settledDevice>;
export type TagOptions = z.infer<typeof settledTag>;
export type ParseOptions = DeviceOptions["parse"];
export type FramingOptions = LinkOptions["framing"];
export type Transport = LinkOptions["transport"];
export type TcpTransport = Extract<Transport, { type: "tcp" }>;
export type ListenTransport = Extract<Transport, { type: "tcp-listen" }>;
export type SerialTransport = Exclude<Transport, TcpTransport | ListenTransport>;

/** Options as a schema gave them. @throws ConfigError when they never went through it. */
export const readLink = (options: unknown): LinkOptions => settle(settledLink, options, "link");
export const readDevice = (options: unknown, name: string): DeviceOptions =>
  settle(settledDevice, options, `device "${name}"`);
export const readTag = (options: unknown, name: string): TagOptions => settle(settledTag, options, `tag "${name}"`);

/** What `check` looks at: a whole link with its devices and tags. */
export const settledTree = settledLink.extend({
  devices: z.array(settledDevice.extend({ tags: z.array(settledTag.extend({ name: z.string() })) })),
});

function settle<T>(schema: z.ZodType<T>, options: unknown, what: string): T {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new ConfigError(`${what}: ${issue?.path.join(".") ?? ""} ${issue?.message ?? "not understood"}`, {
    cause: result.error,
  });
}
