import type { Device, Request, Tag } from "../../../gateway/core/driver.ts";
import { AREAS, type Area } from "../address.ts";
import type { Transport } from "../options.ts";
import type { Point } from "../point.ts";
import { type Question, questionOf, wireMs } from "../wire.ts";
import { outermost, type Range } from "./cover.ts";

export interface TaggedPoint {
  readonly tag: Tag;
  readonly point: Point;
  /** The register of its scale factor. */
  readonly factor?: Point;
}

/** What the requests of one device and area have in common. */
export interface RequestFrame {
  readonly device: Device;
  readonly unit: number;
  readonly area: Area;
  readonly transport: Transport;
  /** Of the device, where it has its own. */
  readonly timeoutMs: number | undefined;
  /** Predicted microseconds of a read of so many addresses. */
  readonly readUs: (count: number) => number;
}

/** Why a tag is left out. */
export const ILLEGAL_ADDRESS = "illegal data address";

/** One question, and the points its answer holds. */
export class ReadRequest implements Request {
  readonly frame: RequestFrame;
  readonly points: readonly TaggedPoint[];
  readonly tags: readonly Tag[];
  /** Tags that are not asked for, because they were refused: their samples say so. */
  readonly refused: readonly Tag[];
  readonly question: Question;
  readonly label: string;
  readonly wireMs: number;
  readonly busyMs: number;
  readonly addresses: number;
  readonly spare: number;
  #instead: readonly ReadRequest[] = [];

  /** @param range what is read; without it all points, from the first to the last. */
  constructor(frame: RequestFrame, points: readonly TaggedPoint[], refused: readonly Tag[] = [], range = hull(points)) {
    const count = range.end - range.start;
    this.frame = frame;
    this.points = points;
    this.refused = refused;
    this.tags = [...points.map(({ tag }) => tag), ...refused];
    this.question = questionOf(frame.unit, frame.area, range.start, count);
    this.label = labelOf(frame.area, range.start, count);
    this.wireMs = wireMs(frame.transport, this.question);
    this.busyMs = frame.readUs(count) / 1000;
    this.addresses = count;
    this.spare = count - covered(points);
  }

  get excluded(): { readonly tag: Tag; readonly reason: string }[] {
    return this.refused.map((tag) => ({ tag, reason: ILLEGAL_ADDRESS }));
  }
  get device(): Device {
    return this.frame.device;
  }
  get timeoutMs(): number | undefined {
    return this.frame.timeoutMs;
  }

  /** The values that lie in no other one, by address. */
  values(): Range[] {
    return outermost(this.points.map(rangeOf));
  }

  /** It was refused: smaller requests for the same tags come in its place. */
  replaceWith(parts: readonly (readonly Range[])[]): void {
    const left = new Set(this.points);
    this.#instead = parts.map((values, index) => {
      const own = [...left].filter((item) => values.some((value) => contains(value, rangeOf(item))));
      for (const item of own) left.delete(item);
      return new ReadRequest(this.frame, own, index === 0 ? this.refused : []);
    });
  }

  instead(): readonly ReadRequest[] {
    const instead = this.#instead;
    this.#instead = [];
    return instead;
  }
}

/** What must be in one answer: a value, from one end to the other, with its scale factor. */
export function rangeOf({ point, factor }: Pick<TaggedPoint, "point" | "factor">): Range {
  const start = point.address.index;
  const end = start + point.count;
  if (!factor) return { start, end };
  const at = factor.address.index;
  return { start: Math.min(start, at), end: Math.max(end, at + 1) };
}

export function contains(outer: Range, inner: Range): boolean {
  return outer.start <= inner.start && inner.end <= outer.end;
}

function hull(points: readonly TaggedPoint[]): Range {
  const ranges = points.map(rangeOf);
  return { start: Math.min(...ranges.map(({ start }) => start)), end: Math.max(...ranges.map(({ end }) => end)) };
}

/** Addresses that belong to a point. */
function covered(points: readonly TaggedPoint[]): number {
  let count = 0;
  let upTo = 0;
  for (const { start, end } of outermost(points.map(rangeOf))) {
    count += end - Math.max(start, upTo);
    upTo = end;
  }
  return count;
}

function labelOf(area: Area, start: number, count: number): string {
  const what = AREAS[area].bits ? "bit" : "register";
  const range = count === 1 ? `${start}` : `${start}..${start + count - 1}`;
  return `${area} ${range} (${count} ${what}${count === 1 ? "" : "s"})`;
}
