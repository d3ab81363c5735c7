import type { Device, Profile, Tag } from "../../../gateway/core/driver.ts";
import { ConfigError, messageOf } from "../../../gateway/core/errors.ts";
import { AREA_NAMES, AREAS, type Area, LAST_ADDRESS } from "../address.ts";
import { factorOf } from "../implemented.ts";
import { type DeviceOptions, readDevice, readTag, type TagOptions, type Transport } from "../options.ts";
import { type Point, pointOf } from "../point.ts";
import { costOf, readUs } from "./cost.ts";
import { cover, outermost, type Range, type Rules } from "./cover.ts";
import { parseHole } from "./hole.ts";
import { ReadRequest, type RequestFrame, rangeOf, type TaggedPoint } from "./request.ts";

/** What is known about a device beside its configuration. */
export interface Knowledge {
  /** What no request may touch; of no width: may not cross. */
  holes(area: Area): readonly Range[];
  /** Whether a value with these addresses is left out, because the unit refuses it. */
  excludes(area: Area, value: Range): boolean;
  /** Most registers, or bits, of one request; undefined where none was learnt. */
  most(bits: boolean): number | undefined;
  /** How long the unit takes before its answer begins; undefined until it was measured. */
  readonly turnaroundMs: number | undefined;
}

const NOTHING: Knowledge = {
  holes: () => [],
  excludes: () => false,
  most: () => undefined,
  turnaroundMs: undefined,
};

/**
 * Joins the tags of one scan group into the questions that take the least time of the bus. No value is split over two of
 * them.
 * @throws ConfigError naming the tag.
 */
export function planReads(
  device: Device,
  tags: readonly Tag[],
  profile: Profile,
  transport: Transport,
  knowledge: Knowledge = NOTHING,
): ReadRequest[] {
  const options = readDevice(device.options);
  const frameOf = framer(device, options, transport, knowledge);
  const points = tags.map((tag) => taggedPoint(device, tag));
  const { wanted, refused } = sortOut(points, knowledge);
  for (const item of points) checkSize(device, item, options, profile);
  const requests = AREA_NAMES.flatMap((area) => {
    const own = wanted.filter(({ point }) => point.address.area === area);
    return joined(own, frameOf(area), rulesOf(area, options, profile, knowledge));
  });
  const [first, ...rest] = requests;
  if (refused.length === 0) return requests;
  const refusedTags = refused.map(({ tag }) => tag);
  if (first) return [new ReadRequest(first.frame, first.points, refusedTags), ...rest];
  return [standIn(device, refused, frameOf, knowledge)];
}

/** Tags live as long as the configuration does; plans are made anew whenever something was learnt. */
const understood = new WeakMap<Tag, Point>();

/** @throws ConfigError naming the tag. */
export function pointOfTag(device: Device, tag: Tag): Point {
  const known = understood.get(tag);
  if (known) return known;
  const named = `tag ${device.name}/${tag.name}`;
  const { point, faults } = pointOf(optionsOf(tag, named));
  if (!point) throw new ConfigError(`${named}: ${faults.map((fault) => fault.message).join("; ")}`);
  understood.set(tag, point);
  return point;
}

function taggedPoint(device: Device, tag: Tag): TaggedPoint {
  const point = pointOfTag(device, tag);
  if (!point.special) return { tag, point };
  const named = `tag ${device.name}/${tag.name}`;
  const { scaleFactor } = optionsOf(tag, named);
  if (scaleFactor === undefined) return { tag, point };
  const find = (name: string | number) => {
    const other = device.tags.find((each) => each.name === name);
    return other && optionsOf(other, named);
  };
  try {
    return { tag, point, factor: factorOf(scaleFactor, point, find) };
  } catch (error) {
    throw new ConfigError(`${named}: ${messageOf(error)}`, { cause: error });
  }
}

function optionsOf(tag: Tag, named: string): TagOptions {
  try {
    return readTag(tag.options);
  } catch (error) {
    throw new ConfigError(`${named}: ${messageOf(error)}`, { cause: error });
  }
}

function framer(device: Device, options: DeviceOptions, transport: Transport, knowledge: Knowledge) {
  const cost = costOf(transport, knowledge.turnaroundMs);
  return (area: Area): RequestFrame => ({
    device,
    unit: options.unit,
    area,
    transport,
    timeoutMs: options.timeout,
    readUs: (count) => readUs(cost, AREAS[area].bits, count),
  });
}

function sortOut(points: readonly TaggedPoint[], knowledge: Knowledge) {
  const isRefused = (item: TaggedPoint) => knowledge.excludes(item.point.address.area, rangeOf(item));
  return { wanted: points.filter((item) => !isRefused(item)), refused: points.filter(isRefused) };
}

function joined(points: readonly TaggedPoint[], frame: RequestFrame, rules: Rules): ReadRequest[] {
  const values = outermost(points.map(rangeOf));
  const widest = Math.max(0, ...values.map(({ start, end }) => end - start));
  // A limit that was learnt cannot be below a value that is wanted all the same.
  const reads = cover(values, { ...rules, most: Math.max(rules.most, widest) }, frame.readUs);
  const owner = reads.flatMap((read, index) => read.map(({ end }) => ({ end, index })));
  const own: TaggedPoint[][] = reads.map(() => []);
  for (const item of [...points].sort(byAddress)) {
    // Starts and ends of the values only rise, so the first that ends late enough is the first that holds the point whole.
    const { index = 0 } = owner[firstFrom(owner, rangeOf(item).end)] ?? {};
    own[index]?.push(item);
  }
  return own.map((items) => new ReadRequest(frame, items));
}

/** Index of the first that ends at `end` or later. */
function firstFrom(rising: readonly { readonly end: number }[], end: number): number {
  let from = 0;
  let to = rising.length;
  while (from < to) {
    const middle = (from + to) >> 1;
    if ((rising[middle]?.end ?? 0) < end) from = middle + 1;
    else to = middle;
  }
  return from;
}

function byAddress(a: TaggedPoint, b: TaggedPoint): number {
  return a.point.address.index - b.point.address.index || b.point.count - a.point.count;
}

/**
 * A group of which every tag is refused still says so at its rate, and asks something that the unit is known to answer; where
 * there is nothing else, one of the refused tags itself.
 */
function standIn(
  device: Device,
  refused: readonly TaggedPoint[],
  frameOf: (area: Area) => RequestFrame,
  knowledge: Knowledge,
): ReadRequest {
  const tags = refused.map(({ tag }) => tag);
  for (const tag of device.tags) {
    const point = pointOfTag(device, tag);
    const range = rangeOf(taggedPoint(device, tag));
    if (knowledge.excludes(point.address.area, range)) continue;
    return new ReadRequest(frameOf(point.address.area), [], tags, range);
  }
  const [own, ...others] = refused;
  if (!own) throw new TypeError("no tag was refused");
  return new ReadRequest(
    frameOf(own.point.address.area),
    [own],
    others.map(({ tag }) => tag),
  );
}

function rulesOf(area: Area, options: DeviceOptions, profile: Profile, knowledge: Knowledge): Rules {
  const { bits } = AREAS[area];
  const configured = bits ? options.maxCoils : Math.min(options.maxRegisters, profile.maxRegisters ?? LAST_ADDRESS);
  const most = Math.min(configured, knowledge.most(bits) ?? configured);
  const declared = options.holes.map((text) => parseHole(text)).filter((hole) => hole.area === area);
  const holes = [...declared, ...knowledge.holes(area), ...borders(bits ? undefined : options.align)];
  return { most, maxGap: (bits ? options.maxCoilGap : options.maxGap) ?? LAST_ADDRESS, holes };
}

function borders(align: number | undefined): Range[] {
  if (align === undefined) return [];
  return Array.from({ length: Math.floor(LAST_ADDRESS / align) }, (_, page) => {
    const start = (page + 1) * align;
    return { start, end: start };
  });
}

function checkSize(device: Device, item: TaggedPoint, options: DeviceOptions, profile: Profile): void {
  const { tag, point, factor } = item;
  if (AREAS[point.address.area].bits) return;
  const most = Math.min(options.maxRegisters, profile.maxRegisters ?? LAST_ADDRESS);
  const { start, end } = rangeOf(item);
  if (end - start <= most) return;
  const together = factor ? " with its scale factor" : "";
  throw new ConfigError(
    `tag ${device.name}/${tag.name} needs ${end - start} registers${together}, but one answer has at most ${most}`,
  );
}
