import type { z } from "zod";
import { placesIn } from "./answer.ts";
import { type BytesSpec, bytesOf } from "./bytes.ts";
import { checksumLength } from "./framing/checksum.ts";
import type { FramingOptions, ParseOptions, TagOptions, Transport } from "./options.ts";
import { settledTree } from "./options.ts";
import { rangeOf, WHOLE_TEXT } from "./parse/parser.ts";
import { GuardedPattern, patternFault } from "./parse/pattern.ts";
import { fieldOf } from "./parse/talker.ts";
import { PLACE } from "./write.ts";

export interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

type Link = z.infer<typeof settledTree>;
type Device = Link["devices"][number];

const LOOPBACK = /^(localhost|::1|127(\.\d{1,3}){3})$/;

/** What the schemas cannot see. Nothing when the link does not even have their shape: that is reported by them. */
export function checkLink(link: unknown): Fault[] {
  const tree = settledTree.safeParse(link);
  if (!tree.success) return [];
  const { transport, framing, devices } = tree.data;
  return [
    ...under(["transport"], checkTransport(transport)),
    ...under(["framing"], checkFraming(framing)),
    ...devices.flatMap((device, index) => under(["devices", index], checkDevice(device, tree.data))),
  ];
}

function under(path: readonly (string | number)[], faults: readonly Fault[]): Fault[] {
  return faults.map((fault) => ({ path: [...path, ...fault.path], message: fault.message }));
}

function checkTransport(transport: Transport): Fault[] {
  if (transport.type !== "tcp-listen" || LOOPBACK.test(transport.host) || transport.allow.length > 0) return [];
  const message = `"${transport.host}" can be reached from other machines: name those that may connect, such as allow: [192.0.2.7]`;
  return [{ path: ["allow"], message }];
}

function checkFraming(framing: FramingOptions): Fault[] {
  switch (framing.type) {
    case "fixed": {
      const least =
        sizeOf(framing.start) + sizeOf(framing.end) + (framing.checksum ? checksumLength(framing.checksum) : 0);
      if (framing.length > least) return [];
      return [
        {
          path: ["length"],
          message: `${framing.length} bytes leave no room between start, end and checksum; at least ${least + 1}`,
        },
      ];
    }
    case "length-prefix": {
      const start = sizeOf(framing.start);
      const header = framing.offset + framing.size;
      if (framing.offset < start)
        return [
          {
            path: ["offset"],
            message: `the length cannot stand within start, which has ${start} bytes; use ${start} or more`,
          },
        ];
      if (framing.maxBytes > header) return [];
      return [{ path: ["maxBytes"], message: `${framing.maxBytes} is no more than the header of ${header} bytes` }];
    }
    case "stx-etx": {
      if (framing.escape === undefined || bytesOf(framing.end).length === 1) return [];
      if (bytesOf(framing.end)[0] === bytesOf(framing.escape)[0]) return [];
      return [
        {
          path: ["escape"],
          message:
            "an end of two bytes must begin with the escape: give both the same first byte, or an end of one byte",
        },
      ];
    }
    default:
      return [];
  }
}

function sizeOf(spec: BytesSpec | undefined): number {
  return spec === undefined ? 0 : bytesOf(spec).length;
}

function checkDevice(device: Device, link: Link): Fault[] {
  const faults = under(["parse"], checkParse(device.parse, longest(link.framing)));
  const asks = device.ask !== undefined || device.tags.some((tag) => tag.ask !== undefined);
  if (asks && link.transport.type === "tcp-listen") {
    faults.push({
      path: ["ask"],
      message: "who connects by himself is not asked: use a transport of type tcp or serial, or remove ask",
    });
  }
  const listens = device.tags.some(
    (tag) => (tag.ask ?? device.ask) === undefined && fieldOf(tag, tag.name, device.parse) !== undefined,
  );
  for (const key of ["holdOff", "minInterval", "silentAfter"] as const) {
    if (device[key] === undefined || listens) continue;
    faults.push({
      path: [key],
      message: `it is for devices that speak by themselves, and this one is asked every time: remove ${key}`,
    });
  }
  if (device.answer && !listens)
    faults.push({ path: ["answer"], message: "it is for devices that speak by themselves: remove answer, or ask" });
  if (device.answer && device.minInterval !== undefined)
    faults.push({
      path: ["minInterval"],
      message: "each telegram of a device that is answered is taken: remove minInterval or answer",
    });
  if (faults.length > 0) return faults;
  const fields = fieldsOf(device.parse);
  faults.push(...checkAnswer(device, fields));
  if (faults.length > 0) return faults;
  return device.tags.flatMap((tag, index) => under(["tags", index], checkTag(tag, device.parse, fields)));
}

function checkAnswer({ answer }: Device, fields: string[] | undefined): Fault[] {
  if (!answer || !fields) return [];
  return (["accepted", "refused"] as const).flatMap((key) =>
    placesIn(answer[key])
      .filter((name) => !fields.includes(name))
      .map((name) => ({
        path: ["answer", key],
        message: `no field "${name}" in the telegram: there ${fields.length === 1 ? "is" : "are"} ${fields.join(", ")}`,
      })),
  );
}

/** The most characters that a telegram can have. */
function longest(framing: FramingOptions): number {
  return framing.type === "fixed" ? framing.length : framing.maxBytes;
}

function checkParse({ pattern, columns, json, encoding }: ParseOptions, bytes: number): Fault[] {
  const ways = [pattern !== undefined && "pattern", columns && "columns", json && "json"].filter(
    (way) => typeof way === "string",
  );
  if (ways.length > 1) return [{ path: [], message: `${ways.join(" and ")} exclude each other: keep one` }];
  const size = encoding === "hex" ? 2 * bytes : bytes;
  if (pattern !== undefined) {
    const fault = patternFault(pattern, size);
    if (fault !== undefined) return [{ path: ["pattern"], message: fault }];
    if (new GuardedPattern(pattern).groups.length > 0) return [];
    return [{ path: ["pattern"], message: "it has no named group, and so no field: write (?<weight>[0-9.]+)" }];
  }
  const faults: Fault[] = [];
  for (const [name, range] of Object.entries(columns ?? {})) {
    const { from, to } = rangeOf(range);
    if (from < 1 || to < from)
      faults.push({ path: ["columns", name], message: `${range} is no range: from 1, and not backwards` });
    else if (to > size)
      faults.push({ path: ["columns", name], message: `${range} is beyond the ${size} columns of a telegram` });
  }
  if (columns && Object.keys(columns).length === 0)
    faults.push({ path: ["columns"], message: 'it names no field: write { weight: "3-10" }' });
  return faults;
}

/** The fields that telegrams have; undefined where that is only seen in each. */
function fieldsOf({ pattern, columns, json }: ParseOptions): string[] | undefined {
  if (json) return undefined;
  if (pattern !== undefined) return new GuardedPattern(pattern).groups;
  return columns ? Object.keys(columns) : [WHOLE_TEXT];
}

function checkTag(
  tag: TagOptions & { readonly name: string },
  parse: ParseOptions,
  fields: string[] | undefined,
): Fault[] {
  const faults: Fault[] = [];
  const unknown = (name: string | undefined): boolean =>
    name !== undefined && fields !== undefined && !fields.includes(name);
  const field = fieldOf(tag, tag.name, parse);
  const there = `there ${fields?.length === 1 ? "is" : "are"} ${fields?.join(", ")}`;
  if (unknown(field)) faults.push({ path: ["field"], message: `no field "${field}" in the telegram: ${there}` });
  if (unknown(tag.unitFrom?.field))
    faults.push({
      path: ["unitFrom", "field"],
      message: `no field "${tag.unitFrom?.field}" in the telegram: ${there}`,
    });
  const number = tag.type === "float64" || tag.type === "int64";
  if (tag.unitFrom && !number) {
    faults.push({
      path: ["unitFrom"],
      message: `unitFrom is for numbers, and the type is ${tag.type}: remove it, or use float64`,
    });
  }
  for (const key of ["trueIs", "falseIs"] as const) {
    if (tag[key] !== undefined && tag.type !== "bool")
      faults.push({ path: [key], message: `${key} is for the type bool, and the type is ${tag.type}: remove it` });
  }
  if (tag.write !== undefined && !bytesOf(tag.write).includes(PLACE, 0, "latin1"))
    faults.push({ path: ["write"], message: `${PLACE} is missing, where the value is to stand` });
  return faults;
}
