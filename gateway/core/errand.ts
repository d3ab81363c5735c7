import { z } from "zod";
import type { Device, DriverModule, Tag, TagWrite, WriteLimits } from "./driver.ts";
import { ConfigError, RejectedError } from "./errors.ts";
import type { Sample, Value } from "./sample.ts";

/** What a person on this machine asks of a line: through the gateway that runs, or directly where none does. */

/** A tag by its name, or one that nobody configured: the driver's keys as people write them. */
export const errandTag = z.union([
  z.string(),
  z.strictObject({ name: z.string(), options: z.record(z.string(), z.unknown()) }),
]);
/** A device by its name, or one that nobody configured. */
export const errandDevice = z.union([
  z.string(),
  z.strictObject({ name: z.string(), options: z.record(z.string(), z.unknown()) }),
]);
export const readErrand = z.strictObject({
  link: z.string(),
  device: errandDevice,
  tags: z.array(errandTag).min(1).max(1000),
});

const wireValue = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.strictObject({ whole: z.string().regex(/^-?\d+$/) }),
  z.strictObject({ bytes: z.string() }),
]);
export const writeErrand = z.strictObject({
  link: z.string(),
  device: z.string(),
  writes: z
    .array(z.strictObject({ tag: z.string(), value: wireValue }))
    .min(1)
    .max(1000),
  /** Who asks, for the log. */
  user: z.string().max(100).optional(),
});
export const readAnswer = z.strictObject({
  samples: z.array(
    z.strictObject({
      tag: z.string(),
      quality: z.enum(["good", "bad", "stale"]),
      value: wireValue.optional(),
      reason: z.string().optional(),
    }),
  ),
});
export const writeAnswer = z.strictObject({
  results: z.array(
    z.strictObject({
      tag: z.string(),
      ok: z.boolean(),
      reason: z.string().optional(),
      before: wireValue.optional(),
      after: wireValue.optional(),
    }),
  ),
});

export type ErrandTag = z.infer<typeof errandTag>;
export type ErrandDevice = z.infer<typeof errandDevice>;
export type ReadErrand = z.infer<typeof readErrand>;
export type WriteErrand = z.infer<typeof writeErrand>;
export type ReadAnswer = z.infer<typeof readAnswer>;
export type WriteAnswer = z.infer<typeof writeAnswer>;
export type WireValue = z.infer<typeof wireValue>;

/** Does errands on the lines of a running gateway. @throws as `Link.read` and `Link.write`; ConfigError. */
export interface ErrandDesk {
  read(errand: ReadErrand, signal: AbortSignal): Promise<ReadAnswer>;
  write(errand: WriteErrand, signal: AbortSignal): Promise<WriteAnswer>;
}

/** JSON has no whole numbers beyond 2^53, and no bytes. */
export function toWire(value: Value): WireValue {
  if (typeof value === "bigint") return { whole: String(value) };
  if (value instanceof Uint8Array) return { bytes: hex(value) };
  return value;
}

export function fromWire(value: WireValue): Value {
  if (typeof value !== "object") return value;
  if ("whole" in value) return BigInt(value.whole);
  return Uint8Array.from(value.bytes.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The device and tags that are meant: configured ones by name, others made as the driver's schemas say. @throws ConfigError. */
export function resolveErrand(
  { device, tags }: Pick<ReadErrand, "device" | "tags">,
  link: { readonly name: string; readonly driver: DriverModule; readonly devices: readonly Device[] },
): { readonly device: Device; readonly tags: readonly Tag[] } {
  const found = deviceOf(device, link);
  return { device: found, tags: tags.map((tag) => tagOf(tag, found, link.driver)) };
}

function deviceOf(
  device: ErrandDevice,
  link: { readonly name: string; readonly driver: DriverModule; readonly devices: readonly Device[] },
): Device {
  if (typeof device === "string") {
    const found = link.devices.find(({ name }) => name === device);
    if (!found) throw new ConfigError(`there is no device ${device} on link ${link.name}`);
    return found;
  }
  const options = parsed(link.driver.deviceSchema, device.options, device.name);
  return { name: device.name, link: link.name, topic: device.name, tags: [], options };
}

function tagOf(tag: ErrandTag, device: Device, driver: DriverModule): Tag {
  if (typeof tag === "string") {
    const found = device.tags.find(({ name }) => name === tag);
    if (!found) throw new ConfigError(`device ${device.name} has no tag ${tag}`);
    return found;
  }
  const options = parsed(driver.tagSchema, tag.options, tag.name);
  return { name: tag.name, everyMs: 1000, stream: "telemetry", type: driver.typeOf(options), options };
}

function parsed(schema: z.ZodObject, options: unknown, name: string): unknown {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message }) =>
    path.length > 0 ? `${path.join(".")}: ${message}` : message,
  );
  throw new ConfigError(`${name}: ${faults.join("; ")}`);
}

/** What may be written to a tag; undefined where nothing. A driver that has no such limits refuses by itself. */
export function limitsOf(driver: DriverModule, tag: Tag): WriteLimits | undefined {
  return driver.writable ? driver.writable(tag.options) : {};
}

/**
 * Whether the configuration lets a value be written. `present` are the samples of the device, where a limit needs them.
 * @throws RejectedError.
 */
export function checkWrite(
  device: Device,
  { tag, value }: TagWrite,
  limits: WriteLimits | undefined,
  present: readonly Pick<Sample, "tag" | "quality" | "value">[] | undefined,
): void {
  const name = `${device.name}/${tag.name}`;
  if (!limits) throw new RejectedError(`${name} is not writable: the configuration does not say so`);
  const { min, max, maxStep } = limits;
  const number = Number(value);
  if (min !== undefined && number < min) throw new RejectedError(`${name}: ${number} is below the least, ${min}`);
  if (max !== undefined && number > max) throw new RejectedError(`${name}: ${number} is above the greatest, ${max}`);
  if (maxStep === undefined) return;
  const sample = present?.find((one) => one.tag === tag.name);
  if (sample?.quality !== "good") {
    throw new RejectedError(`${name}: its present value is not known, so the step cannot be judged`);
  }
  const step = Math.abs(number - Number(sample.value));
  if (step > maxStep)
    throw new RejectedError(`${name}: a step of ${step} from ${sample.value}; at most ${maxStep} at once`);
}
