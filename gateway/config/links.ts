import { z } from "zod";
import type { Device, DriverModule, Tag } from "../core/driver.ts";
import { deviceShape, linkShape, tagShape } from "../core/options/link.ts";
import { profileShape } from "../core/options/profile.ts";
import type { RecorderOptions } from "../core/options/recorder.ts";
import { readDerived, type TagDraft } from "./derived.ts";
import { allowedKeys, missing, wrongValue } from "./explain.ts";
import type { Faults, Path } from "./faults.ts";
import { asMapping, listOf, parseWith, split, uniqueNames } from "./sections.ts";
import { orList } from "./suggest.ts";
import { reportOf, shapeOf } from "./tag-shape.ts";
import { resolveTopic } from "./topics.ts";

export const sharedLink = z.strictObject(linkShape);
export const sharedDevice = z.strictObject(deviceShape);
export const sharedTag = z.strictObject(tagShape);

/** A link whose every key is right; the requests are not planned yet. */
export interface LinkDraft {
  readonly name: string;
  readonly driver: DriverModule;
  readonly options: unknown;
  readonly devices: readonly Device[];
  readonly recorder: RecorderOptions;
  readonly path: Path;
}

/** Reads `links`. A link with a fault is left out of the result, and its faults are added. */
export function readLinks(
  raw: unknown,
  drivers: readonly DriverModule[],
  gatewayId: string,
  faults: Faults,
): LinkDraft[] {
  if (!Array.isArray(raw)) {
    faults.add(["links"], 'must be a list of links, each beginning with "- name:"');
    return [];
  }
  const drafts = raw.map((item: unknown, index) => readLink(item, drivers, gatewayId, ["links", index], faults));
  uniqueAcrossLinks(raw, faults);
  return drafts.filter((draft) => draft !== undefined);
}

function readLink(
  raw: unknown,
  drivers: readonly DriverModule[],
  gatewayId: string,
  path: Path,
  faults: Faults,
): LinkDraft | undefined {
  const mapping = asMapping(raw, path, faults);
  if (mapping === undefined) return undefined;
  const driver = pick(mapping, "driver", drivers, path, faults);
  if (driver === undefined) return undefined;
  const allowed = ["name", "driver", ...allowedKeys(driver.linkSchema), "recorder", "devices"];
  const parts = split(mapping, ["name", "recorder"], driver.linkSchema, allowed, path, faults);
  const shared = parseWith(sharedLink, parts?.shared, path, faults);
  const own = parseWith(driver.linkSchema, parts?.own, path, faults);
  const about = "the devices on this link, each with name and tags";
  const items = listOf(mapping, "devices", about, path, faults);
  // What is made of values is told beside what the driver says, not in its place.
  const shapes = faults.fork();
  const context = { gateway: gatewayId, link: shared?.name ?? "link", driver, shapes };
  const devices = items.map((item, index) => readDevice(item, context, [...path, "devices", index], faults));
  if (shared === undefined || own === undefined || faults.has(path)) {
    faults.join(shapes);
    return undefined;
  }
  const good = devices.filter((device) => device !== undefined);
  const whole = { ...shared, driver: driver.name, ...own, devices: good.map((device) => device.whole) };
  for (const fault of driver.check(whole)) faults.add([...path, ...fault.path], fault.message);
  faults.join(shapes);
  if (faults.has(path)) return undefined;
  const { name, recorder } = shared;
  return { name, driver, options: own, devices: good.map(({ device }) => device), recorder, path };
}

/** The module that `mapping[key]` names; undefined after one fault that says which there are. */
export function pick<M extends { readonly name: string }>(
  mapping: Record<string, unknown>,
  key: string,
  modules: readonly M[],
  path: Path,
  faults: Faults,
): M | undefined {
  const names = modules.map((module) => module.name);
  const value = Object.hasOwn(mapping, key) ? mapping[key] : undefined;
  const found = modules.find((module) => module.name === value);
  if (found !== undefined) return found;
  if (value === undefined) faults.add(path, `${missing(key)}; use ${orList(names)}`);
  else faults.add([...path, key], wrongValue(value, names, [...path, key]));
  return undefined;
}

interface DeviceDraft {
  readonly device: Device;
  /** Shared and own keys in one, as `DriverModule.check` sees them. */
  readonly whole: object;
}

interface LinkContext {
  readonly gateway: string;
  readonly link: string;
  readonly driver: DriverModule;
  /** Faults of `Tag.shape` and of derived tags. */
  readonly shapes: Faults;
}

function readDevice(raw: unknown, context: LinkContext, path: Path, faults: Faults): DeviceDraft | undefined {
  const { driver, shapes, ...ids } = context;
  const allowed = [
    "name",
    ...Object.keys(profileShape),
    ...allowedKeys(driver.deviceSchema),
    "topic",
    "tags",
    "derived",
  ];
  const parts = split(raw, ["name", "topic", "derived"], driver.deviceSchema, allowed, path, faults);
  const mapping = parts === undefined ? undefined : asMapping(raw, path, faults);
  if (parts === undefined || mapping === undefined) return undefined;
  const shared = parseWith(sharedDevice, parts.shared, path, faults);
  const own = parseWith(driver.deviceSchema, parts.own, path, faults);
  const about = "what is read from this device, each with name and type";
  const items = listOf(mapping, "tags", about, path, faults);
  const tags = items
    .map((item, index) => readTag(item, context, [...path, "tags", index], faults))
    .filter((tag) => tag !== undefined);
  const named = items.map((item, index) => ({ name: nameOf(item), path: [...path, "tags", index, "name"] }));
  uniqueNames(named, "within a device", faults);
  if (shared === undefined || own === undefined) return undefined;
  const topic = resolveTopic(shared.topic, { ...ids, device: shared.name }, [...path, "topic"], faults);
  if (topic === undefined) return undefined;
  const plain = tags.map(({ tag }) => tag);
  // A tag with a fault is not there: what needs it is not judged.
  const whole = plain.length === items.length && !faults.has([...path, "tags"]);
  const derived = whole ? readDerived(shared.derived, tags, [...path, "derived"], shapes) : [];
  return {
    device: {
      name: shared.name,
      link: ids.link,
      topic,
      tags: plain,
      ...(derived.length === 0 ? {} : { derived }),
      options: own,
    },
    whole: { ...shared, ...own, tags: tags.map((tag) => tag.whole) },
  };
}

function readTag(raw: unknown, context: LinkContext, path: Path, faults: Faults): TagDraft | undefined {
  const { driver, shapes } = context;
  const sharedKeys = Object.keys(tagShape);
  const allowed = [...new Set(["name", ...allowedKeys(driver.tagSchema), ...sharedKeys])];
  const parts = split(raw, sharedKeys, driver.tagSchema, allowed, path, faults);
  if (parts === undefined) return undefined;
  const shared = parseWith(sharedTag, parts.shared, path, faults);
  const own = parseWith(driver.tagSchema, parts.own, path, faults);
  if (shared === undefined || own === undefined) return undefined;
  const { name, every, stream, unit } = shared;
  const type = driver.typeOf(own);
  const scaling = { scale: numberAt(own, "scale"), offset: numberAt(own, "offset") };
  const shape = shapeOf(shared, type, scaling, path, shapes);
  const tag: Tag = {
    name,
    everyMs: every,
    stream,
    ...reportOf(shared, every, path, shapes),
    ...(shape && { shape }),
    ...(unit === undefined ? {} : { unit }),
    type: shape?.texts ? "string" : type,
    options: own,
  };
  const factor = Math.abs((scaling.scale ?? 1) * (shared.scale ?? 1));
  return { tag, type, factor, whole: { ...shared, ...own } };
}

function numberAt(options: Record<string, unknown>, key: string): number | undefined {
  const value = options[key];
  return typeof value === "number" ? value : undefined;
}

/** Names of links and devices, and serial ports: whatever two links could both claim. */
function uniqueAcrossLinks(raw: readonly unknown[], faults: Faults): void {
  const links = raw.map((link, i) => ({ name: nameOf(link), path: ["links", i, "name"] }));
  uniqueNames(links, "among links", faults);
  const devices = raw.flatMap((link, i) =>
    entriesOf(link, "devices").map((device, j) => ({ name: nameOf(device), path: ["links", i, "devices", j, "name"] })),
  );
  uniqueNames(devices, "among the devices of all links", faults);
  const ports = new Map<string, number>();
  for (const [i, link] of raw.entries()) {
    const port = field(field(link, "transport"), "path");
    if (typeof port !== "string") continue;
    const first = ports.get(port);
    if (first === undefined) ports.set(port, i);
    else {
      const message = `the port is already used by links[${first}]; put its devices on that link`;
      faults.add(["links", i, "transport", "path"], message);
    }
  }
}

export function nameOf(raw: unknown): unknown {
  return field(raw, "name");
}

function entriesOf(raw: unknown, key: string): unknown[] {
  const value = field(raw, key);
  return Array.isArray(value) ? value : [];
}

function field(raw: unknown, key: string): unknown {
  if (typeof raw !== "object" || raw === null) return undefined;
  return Object.entries(raw).find(([own]) => own === key)?.[1];
}
