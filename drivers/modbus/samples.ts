import type { Sample } from "../../gateway/core/sample.ts";
import { AREAS } from "./address.ts";
import type { Decoded } from "./codec/codec.ts";
import { readSpecial } from "./implemented.ts";
import type { ReadRequest, TaggedPoint } from "./plan/request.ts";
import { readRegisters } from "./point.ts";

/** Where the values of a request are in its answer; side by side, because it is gone through for every answer. */
interface Layout {
  readonly names: readonly string[];
  /** Byte of a register; number of a bit. */
  readonly offsets: Uint16Array;
  readonly points: readonly TaggedPoint[];
  readonly bits: boolean;
  /** Address that the answer begins with. */
  readonly first: number;
  /** Every point is an unsigned register as it is. */
  readonly plain: boolean;
}

const layouts = new WeakMap<ReadRequest, Layout>();

/** One sample for each point of a request. @param answer its data bytes, as many as were asked for. */
export function samplesIn(answer: Buffer, request: ReadRequest, monoMs: number): Sample[] {
  const layout = layouts.get(request) ?? layoutOf(request);
  const { names, offsets, plain } = layout;
  if (!plain)
    return layout.points.map((item, index) =>
      sampleOf(names[index] ?? "", monoMs, valueAt(answer, layout, item, index)),
    );
  const samples: Sample[] = [];
  for (let index = 0; index < names.length; index++) {
    const at = offsets[index] ?? 0;
    const value = ((answer[at] ?? 0) << 8) | (answer[at + 1] ?? 0);
    samples.push({ tag: names[index] ?? "", monoMs, quality: "good", value });
  }
  return samples;
}

/** The same reason for every point. */
export function refusedSamples(reason: string, { points }: ReadRequest, monoMs: number): Sample[] {
  return points.map(({ tag }) => ({ tag: tag.name, monoMs, quality: "bad", reason }));
}

function valueAt(
  answer: Buffer,
  { bits, offsets, first }: Layout,
  { point, factor }: TaggedPoint,
  index: number,
): Decoded {
  if (point.special) return readSpecial(point.special, factor, (address) => answer.subarray((address - first) * 2));
  const at = offsets[index] ?? 0;
  if (!bits) return readRegisters(point, answer, at);
  return { value: (((answer[at >> 3] ?? 0) >> (at & 7)) & 1) === 1 };
}

function sampleOf(tag: string, monoMs: number, decoded: Decoded): Sample {
  return "value" in decoded
    ? { tag, monoMs, quality: "good", value: decoded.value }
    : { tag, monoMs, quality: "bad", reason: decoded.reason };
}

function layoutOf(request: ReadRequest): Layout {
  const { points, question, frame } = request;
  const { bits } = AREAS[frame.area];
  const layout = {
    names: points.map(({ tag }) => tag.name),
    offsets: Uint16Array.from(points, ({ point }) => (point.address.index - question.address) * (bits ? 1 : 2)),
    points,
    bits,
    first: question.address,
    plain: !bits && points.every(({ point }) => point.plain16 === "uint16"),
  };
  layouts.set(request, layout);
  return layout;
}
