import { difference, narrowed, type Scaling, scaled, scaler, shortest } from "../core/decimal.ts";
import type { Tag } from "../core/driver.ts";
import { percentOf } from "../core/options/tag.ts";
import { formatDuration } from "../core/options/units.ts";
import type { Value } from "../core/sample.ts";
import type { Shape, Span } from "../core/shape.ts";
import type { Faults, Path } from "./faults.ts";

/** From the keys of a tag to what runs: `Tag.shape`, and when its samples are sent. */

interface ReportKeys {
  readonly deadband?: number | string | undefined;
  readonly onChange: boolean;
  /** Milliseconds. */
  readonly maxSilence?: number | undefined;
  /** Milliseconds between two. */
  readonly rate?: number | undefined;
  readonly range?: readonly number[] | undefined;
}

export function reportOf(
  { deadband, onChange, maxSilence, rate, range }: ReportKeys,
  everyMs: number,
  path: Path,
  faults: Faults,
): Pick<Tag, "deadband" | "maxSilenceMs" | "minIntervalMs"> {
  const percent = deadband === undefined ? undefined : percentOf(deadband);
  const whole = spanOf(range);
  if (percent !== undefined && !whole) {
    faults.add([...path, "deadband"], 'a share needs the whole: give the tag a "range", such as [0, 100]');
  }
  if (maxSilence !== undefined && maxSilence < everyMs) {
    const every = formatDuration(everyMs);
    faults.add([...path, "maxSilence"], `the tag is only read every ${every}: use ${every.replace(" ", "")} or more`);
  }
  if (maxSilence !== undefined && rate !== undefined && maxSilence < rate) {
    faults.add([...path, "maxSilence"], `"rate" allows only one in ${formatDuration(rate)}: use that or more`);
  }
  const width = percent === undefined || !whole ? deadband : shareOf(whole, percent);
  return {
    ...(typeof width === "number" ? { deadband: width } : onChange ? { deadband: 0 } : {}),
    ...(maxSilence === undefined ? {} : { maxSilenceMs: maxSilence }),
    ...(rate === undefined ? {} : { minIntervalMs: rate }),
  };
}

function shareOf([least, greatest]: Span, percent: number): number {
  const whole = scaled(difference(greatest, least), { scale: percent, offset: 0 });
  return Number(scaled(whole, { scale: 0.01, offset: 0 }));
}

interface ShapeKeys {
  readonly errorValue?: number | string | readonly (number | string)[] | undefined;
  readonly scale?: number | undefined;
  readonly offset?: number | undefined;
  readonly range?: readonly number[] | undefined;
  readonly outOfRange: "keep" | "bad";
  readonly clamp?: true | readonly number[] | undefined;
  readonly enum?: Readonly<Record<string, string>> | undefined;
}

/**
 * @param type as the driver has it.
 * @param own what the driver scales by itself, before anybody else sees the value.
 */
export function shapeOf(
  keys: ShapeKeys,
  type: string,
  own: { readonly scale?: number | undefined; readonly offset?: number | undefined },
  path: Path,
  faults: Faults,
): Shape | undefined {
  checkKinds(keys, type, path, faults);
  const { scale, offset, clamp } = keys;
  const range = spanOf(keys.range);
  if (!range && clamp === true) faults.add([...path, "clamp"], 'there is no "range" to clamp to: write [0, 100]');
  if (!range && keys.outOfRange === "bad") faults.add([...path, "outOfRange"], 'there is no "range": add one');
  const errorValues = errorValuesOf(keys.errorValue, type, own, [...path, "errorValue"], faults);
  const within = clamp === true ? range : spanOf(clamp);
  const shape: Shape = {
    ...(errorValues.length === 0 ? {} : { errorValues }),
    ...(scale === undefined || scale === 1 ? {} : { scale }),
    ...(offset === undefined || offset === 0 ? {} : { offset }),
    ...(within && { clamp: within }),
    ...(range && keys.outOfRange === "bad" && { limits: range }),
    ...(keys.enum && { texts: new Map(Object.entries(keys.enum)) }),
  };
  return Object.keys(shape).length === 0 ? undefined : shape;
}

function checkKinds(keys: ShapeKeys, type: string, path: Path, faults: Faults): void {
  if (!/^(bool|string|bytes)/.test(type)) return;
  for (const key of ["scale", "offset", "range", "clamp"] as const) {
    if (keys[key] === undefined) continue;
    faults.add([...path, key], `"${key}" is for numbers, and the type is ${type}: remove it`);
  }
  if (type === "bytes" && keys.enum) faults.add([...path, "enum"], '"enum" is not for bytes: remove it');
}

function spanOf(pair: readonly number[] | undefined): Span | undefined {
  const [least, greatest] = pair ?? [];
  return least === undefined || greatest === undefined ? undefined : [least, greatest];
}

/** As the driver will give them: in two's complement, as the bits of a float, and scaled where it scales. */
function errorValuesOf(
  given: ShapeKeys["errorValue"],
  type: string,
  { scale = 1, offset = 0 }: Parameters<typeof shapeOf>[2],
  path: Path,
  faults: Faults,
): Value[] {
  const list = given === undefined ? [] : Array.isArray(given) ? given : [given];
  if (/^(string|bytes)/.test(type)) return list.map(String);
  const scaling = { scale, offset };
  return list.flatMap((value: number | string) => {
    if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value)) {
      faults.add(path, "so many digits are only kept in quotes: put it in quotes");
      return [];
    }
    const number = typeof value === "number" ? value : numberFrom(value);
    if (number === undefined) {
      faults.add(path, `a number is needed, such as 32768 or 0x8000, because the type is ${type}`);
      return [];
    }
    return asRead(number, type, scaling);
  });
}

function numberFrom(text: string): number | bigint | undefined {
  if (/^(-?\d+|0x[0-9a-f]+)$/i.test(text)) return narrowed(BigInt(text));
  const number = text.trim() === "" ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : undefined;
}

const SIGNED = /^int(8|16|24|32|48|64)(?!\d)/;
const FLOAT = /^float(32|64)$/;

function asRead(value: number | bigint, type: string, scaling: Scaling): (number | bigint)[] {
  const found = [value];
  const whole = typeof value === "bigint" || Number.isInteger(value) ? BigInt(value) : undefined;
  const signed = Number(SIGNED.exec(type)?.[1]);
  if (whole !== undefined && signed > 0 && whole >= 0n && whole < 1n << BigInt(signed)) {
    found.push(narrowed(BigInt.asIntN(signed, whole)));
  }
  const bits = FLOAT.exec(type)?.[1];
  if (whole !== undefined && bits !== undefined && whole >= 0n && whole < 1n << BigInt(bits)) {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, bits === "32" ? whole << 32n : whole);
    const float = bits === "32" ? shortest(view.getFloat32(0), 9, Math.fround) : view.getFloat64(0);
    if (Number.isFinite(float)) found.push(float);
  }
  const plain = scaling.scale === 1 && scaling.offset === 0;
  return [...new Set(plain ? found : found.map(scaler(scaling)))];
}
