import type { z } from "zod";
import { AREAS } from "./address.ts";
import { factorOf } from "./implemented.ts";
import { hasIds, settledTree, type Transport } from "./options.ts";
import { parseHole } from "./plan/hole.ts";
import { rangeOf } from "./plan/request.ts";
import { type Point, pointOf } from "./point.ts";
import { writableFaults } from "./write/writable.ts";

export interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

type Link = z.infer<typeof settledTree>;
type Device = Link["devices"][number];

/** What the schemas cannot see. Nothing when the link does not even have their shape: that is reported by them. */
export function checkLink(link: unknown): Fault[] {
  const tree = settledTree.safeParse(link);
  if (!tree.success) return [];
  const { devices, transport } = tree.data;
  return [
    ...checkTransport(tree.data),
    ...repeated(devices, (device) => device.unit).map(([index, unit]) => ({
      path: ["devices", index, "unit"],
      message: `unit ${unit} is on this link already: give its tags to one device`,
    })),
    ...devices.flatMap((device, index) => [
      ...checkUnit(device.unit, transport.type).map((message) => ({ path: ["devices", index, "unit"], message })),
      ...checkTags(device).map((fault) => ({ ...fault, path: ["devices", index, "tags", ...fault.path] })),
    ]),
  ];
}

function checkTransport({ transport, inFlight, guard }: Link): Fault[] {
  const faults: Fault[] = [];
  if (transport.type === "rtu" && transport.dataBits !== 8) {
    faults.push({ path: ["transport", "dataBits"], message: "rtu sends bytes of 8 bits: remove dataBits, or set 8" });
  }
  if (inFlight > 1 && !hasIds(transport)) {
    const why =
      transport.type === "tcp" || transport.type === "udp" ? "with ignoreTransactionId" : `on ${transport.type}`;
    const message = `${why} nothing tells the answers to several questions apart: remove inFlight, or set 1`;
    faults.push({ path: ["inFlight"], message });
  }
  if (inFlight > 1 && guard > 0) {
    faults.push({
      path: ["guard"],
      message: "there is no pause between questions asked at once: remove guard, or inFlight",
    });
  }
  return faults;
}

function checkUnit(unit: number, transport: Transport["type"]): string[] {
  const addressed = transport === "tcp" || transport === "udp";
  if (!addressed && unit === 0) return ["unit 0 is everybody on a serial line and never answers: use 1 to 247"];
  if (unit <= 247 || (addressed && unit === 255)) return [];
  return [`unit ${unit} is reserved: use 1 to 247${addressed ? ", or 255 for the device itself" : ""}`];
}

function checkTags(device: Device): Fault[] {
  const faults: Fault[] = repeated(device.tags, (tag) => tag.name).map(([index, name]) => ({
    path: [index, "name"],
    message: `tag "${name}" is in this device already: give it another name`,
  }));
  for (const [index, tag] of device.tags.entries()) {
    const { point, faults: own } = pointOf(tag);
    faults.push(...own.map((fault) => ({ ...fault, path: [index, ...fault.path] })));
    if (point) faults.push(...writableFaults(tag, point).map((message) => ({ path: [index, "writable"], message })));
    if (point && !AREAS[point.address.area].bits && point.count > device.maxRegisters) {
      const message = `${tag.type} needs ${point.count} registers in one answer, but maxRegisters of the device is ${device.maxRegisters}`;
      faults.push({ path: [index, "type"], message });
    }
    if (point)
      faults.push(...factorFaults(tag, point, device).map((fault) => ({ ...fault, path: [index, ...fault.path] })));
    const hole = point && holeAt(point, device);
    if (hole)
      faults.push({ path: [index, "address"], message: `this lies in the hole "${hole}" of its device: remove one` });
  }
  return faults;
}

function factorFaults({ scaleFactor, type }: Device["tags"][number], point: Point, device: Device): Fault[] {
  if (scaleFactor === undefined) return [];
  const fault = (message: string) => [{ path: ["scaleFactor"], message }];
  try {
    const { start, end } = rangeOf({
      point,
      factor: factorOf(scaleFactor, point, (name) => device.tags.find((tag) => tag.name === name)),
    });
    if (end - start <= device.maxRegisters || point.count > device.maxRegisters) return [];
    return fault(
      `${type} and its scale factor are ${end - start} registers apart, but maxRegisters of the device is ${device.maxRegisters}`,
    );
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return fault(error.message);
  }
}

/** The hole that the point touches. */
function holeAt({ address, count }: Point, device: Device): string | undefined {
  return device.holes.find((text) => {
    const { area, start, end } = parseHole(text);
    return area === address.area && start < address.index + count && address.index < end;
  });
}

/** Every item whose key an earlier one had, with its index. */
function repeated<T, K>(items: readonly T[], keyOf: (item: T) => K | undefined): [number, K][] {
  const seen = new Set<K>();
  const found: [number, K][] = [];
  for (const [index, item] of items.entries()) {
    const key = keyOf(item);
    if (key === undefined) continue;
    if (seen.has(key)) found.push([index, key]);
    seen.add(key);
  }
  return found;
}
