import { Buffer, isUtf8 } from "node:buffer";
import { z } from "zod";
import type { Value } from "../core/sample.ts";

/** Tags, the greatest body and the longest id of one command. */
const MAX_TAGS = 256;
const MAX_BYTES = 64 * 1024;
const MAX_ID = 128;

/** What is to be written to one device, in this order. */
export interface Command {
  readonly id: string;
  readonly device: string;
  /** Unix milliseconds. After it the command is not begun any more. */
  readonly expires: number;
  readonly writes: readonly { readonly tag: string; readonly value: Value }[];
  /** The recipe whose handshake follows the writes. */
  readonly recipe?: string | undefined;
  readonly reply?: Reply | undefined;
}

/** Where the sender wants the result besides the result topic. */
export interface Reply {
  /** Absent where the sender only gave a token. */
  readonly topic?: string | undefined;
  /** Base64 of what the sender knows its question by (MQTT 5 correlation data). */
  readonly correlation?: string | undefined;
  /** The same as the sender wrote it into the body of its command; it comes back in the body of the result. */
  readonly token?: string | undefined;
  /** The uplink it came from; a local client where absent. */
  readonly uplink?: string | undefined;
}

/** A command that cannot be carried out as it stands. Without an id nobody can be told. */
export interface Malformed {
  readonly id?: string;
  readonly device: string;
  readonly reason: string;
}

/** A number, a truth value or a text; integers that a double cannot hold come as text. */
const value = z.union([z.number(), z.boolean(), z.string().max(4096)], {
  error: "a value is a number, true, false or a text",
});

const body = z.strictObject({
  id: z.string({ error: "is needed: a text that is used once" }).min(1).max(MAX_ID),
  expires: z
    .union([z.number().int().nonnegative(), z.iso.datetime({ offset: true })], {
      error: "is needed: Unix milliseconds, or a time such as 2026-11-23T06:00:00Z",
    })
    .transform((time) => (typeof time === "number" ? time : Date.parse(time))),
  values: z.record(z.string(), value).optional(),
  writes: z.array(z.strictObject({ tag: z.string(), value })).optional(),
  recipe: z.string().min(1).max(MAX_ID).optional(),
  replyTo: z.string().min(1).max(1024).optional(),
  correlation: z.string().max(1024).optional(),
});

/** Reads a command for `device` from what came on its topic. */
export function readCommand(device: string, payload: Uint8Array): Command | Malformed {
  const text = textOf(payload);
  if (typeof text !== "string") return { device, reason: text.reason };
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    return { device, reason: "not JSON" };
  }
  const known = idOf(given);
  const read = body.safeParse(given);
  if (!read.success) return { device, reason: faultOf(read.error), ...(known === undefined ? {} : { id: known }) };
  const { id, expires, values, writes, recipe } = read.data;
  if (recipe !== undefined && writes === undefined) {
    const given = Object.entries(values ?? {}).map(([tag, one]) => ({ tag, value: one }));
    return given.length > MAX_TAGS ? tooMany(id, device) : { id, device, expires, recipe, writes: given };
  }
  if (recipe !== undefined) return { id, device, reason: "a recipe has its own order: give values, not writes" };
  if ((values === undefined) === (writes === undefined)) {
    return { id, device, reason: "needs values, or writes where the order matters; one of the two" };
  }
  const list = writes ?? Object.entries(values ?? {}).map(([tag, one]) => ({ tag, value: one }));
  if (list.length === 0) return { id, device, reason: "writes nothing" };
  if (list.length > MAX_TAGS) return tooMany(id, device);
  const twice = list.find(({ tag }, at) => list.findIndex((other) => other.tag === tag) !== at);
  if (twice) return { id, device, reason: `writes ${twice.tag} twice` };
  return { id, device, expires, writes: list };
}

/** The topic and token for an answer that the body names; undefined where it names none, or is no command at all. */
export function replyIn(payload: Uint8Array): Pick<Reply, "token"> & { readonly topic?: string | undefined } {
  const text = textOf(payload);
  if (typeof text !== "string") return {};
  try {
    const read = answerKeys.safeParse(JSON.parse(text));
    return read.success ? { topic: read.data.replyTo, token: read.data.correlation } : {};
  } catch {
    return {};
  }
}

const answerKeys = z.looseObject({ replyTo: body.shape.replyTo, correlation: body.shape.correlation });

function tooMany(id: string, device: string): Malformed {
  return { id, device, reason: `writes more than ${MAX_TAGS} tags` };
}

export function isCommand(read: Command | Malformed): read is Command {
  return "writes" in read;
}

function textOf(payload: Uint8Array): string | { reason: string } {
  if (payload.length > MAX_BYTES) return { reason: `longer than ${MAX_BYTES} bytes` };
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  return isUtf8(bytes) ? bytes.toString("utf8") : { reason: "not UTF-8" };
}

function idOf(given: unknown): string | undefined {
  const read = z.looseObject({ id: z.string().min(1).max(MAX_ID) }).safeParse(given);
  return read.success ? read.data.id : undefined;
}

function faultOf(error: z.ZodError): string {
  const [first] = error.issues;
  if (!first) return "not a command";
  const path = first.path.map(String).join(".");
  return path === "" ? first.message : `${path}: ${first.message}`;
}
