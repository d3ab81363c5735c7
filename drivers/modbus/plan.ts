import type { Device, Profile, Request, Tag } from "../../gateway/core/driver.ts";
import { ConfigError, messageOf } from "../../gateway/core/errors.ts";
import { AREA_NAMES, AREAS, type Area } from "./address.ts";
import { type DeviceOptions, readDevice, readTag, type TagOptions, type Transport } from "./options.ts";
import { type Point, pointOf } from "./point.ts";
import { type Question, questionOf, wireMs } from "./wire.ts";

export interface TaggedPoint {
  readonly tag: Tag;
  readonly point: Point;
}

/** One question, and the points its answer holds. */
export class ReadRequest implements Request {
  readonly device: Device;
  readonly points: readonly TaggedPoint[];
  readonly question: Question;
  readonly label: string;
  readonly wireMs: number;
  /** Of the device, where it has its own. */
  readonly timeoutMs: number | undefined;

  constructor(device: Device, options: DeviceOptions, area: Area, run: Run, transport: Transport) {
    const count = run.end - run.start;
    this.device = device;
    this.points = run.points;
    this.question = questionOf(options.unit, area, run.start, count);
    this.label = labelOf(area, run.start, count);
    this.wireMs = wireMs(transport, this.question);
    this.timeoutMs = options.timeout;
  }
  get tags(): readonly Tag[] {
    return this.points.map(({ tag }) => tag);
  }
}

/** Addresses `start` to `end`, exclusive. */
interface Run {
  readonly start: number;
  end: number;
  readonly points: TaggedPoint[];
}
interface Limits {
  readonly most: number;
  readonly gap: number;
}

/**
 * Joins the tags of one scan group into few questions. No value is split over two of them.
 * @throws ConfigError naming the tag.
 */
export function planReads(device: Device, tags: readonly Tag[], profile: Profile, transport: Transport): ReadRequest[] {
  const options = readDevice(device.options);
  const points = tags.map((tag) => ({ tag, point: pointOfTag(device, tag) }));
  return AREA_NAMES.flatMap((area) => {
    const limits = limitsOf(area, options, profile);
    const own = points.filter(({ point }) => point.address.area === area);
    return joined(device, own, limits).map((run) => new ReadRequest(device, options, area, run, transport));
  });
}

/** @throws ConfigError naming the tag. */
export function pointOfTag(device: Device, tag: Tag): Point {
  const named = `tag ${device.name}/${tag.name}`;
  const { point, faults } = pointOf(optionsOf(tag, named));
  if (!point) throw new ConfigError(`${named}: ${faults.map((fault) => fault.message).join("; ")}`);
  return point;
}

function optionsOf(tag: Tag, named: string): TagOptions {
  try {
    return readTag(tag.options);
  } catch (error) {
    throw new ConfigError(`${named}: ${messageOf(error)}`, { cause: error });
  }
}

function limitsOf(area: Area, options: DeviceOptions, profile: Profile): Limits {
  if (AREAS[area].bits) return { most: options.maxCoils, gap: options.maxCoilGap };
  return { most: Math.min(options.maxRegisters, profile.maxRegisters ?? options.maxRegisters), gap: options.maxGap };
}

function joined(device: Device, points: readonly TaggedPoint[], { most, gap }: Limits): Run[] {
  const sorted = [...points].sort(
    (a, b) => a.point.address.index - b.point.address.index || b.point.count - a.point.count,
  );
  const runs: Run[] = [];
  for (const item of sorted) {
    const start = item.point.address.index;
    const end = start + item.point.count;
    if (end - start > most) {
      throw new ConfigError(
        `tag ${device.name}/${item.tag.name} needs ${end - start} registers, but one answer has at most ${most}`,
      );
    }
    const last = runs.at(-1);
    const reach = Math.max(end, last?.end ?? 0);
    if (last && start <= last.end + gap && reach - last.start <= most) {
      last.end = reach;
      last.points.push(item);
    } else {
      runs.push({ start, end, points: [item] });
    }
  }
  return runs;
}

function labelOf(area: Area, start: number, count: number): string {
  const what = AREAS[area].bits ? "bit" : "register";
  const range = count === 1 ? `${start}` : `${start}..${start + count - 1}`;
  return `${area} ${range} (${count} ${what}${count === 1 ? "" : "s"})`;
}
