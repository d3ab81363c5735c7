import { z } from "zod";
import { uplinkShape } from "../core/options/uplink.ts";
import { selectorOf } from "../core/selector.ts";
import type { UplinkModule } from "../core/uplink.ts";
import { type EncoderOption, encoderOption, isPerTag, topicPlanFaults, topicReachFaults } from "../northbound/index.ts";
import { allowedKeys } from "./explain.ts";
import type { Faults, Path } from "./faults.ts";
import { nameOf, pick } from "./links.ts";
import { asMapping, parseWith, split, uniqueNames } from "./sections.ts";
import { hint } from "./suggest.ts";
import { checkFilter } from "./topics.ts";
import type { LoadedLink, LoadedUplink } from "./types.ts";

export const sharedUplink = z.strictObject(uplinkShape);

/** Reads `uplinks`. An uplink with a fault is left out of the result, and its faults are added. */
export function readUplinks(
  raw: unknown,
  modules: readonly UplinkModule[],
  gatewayId: string,
  faults: Faults,
): LoadedUplink[] {
  if (!Array.isArray(raw)) {
    faults.add(["uplinks"], 'must be a list of uplinks, each beginning with "- name:"');
    return [];
  }
  const uplinks = raw.map((item: unknown, index) => readUplink(item, modules, gatewayId, ["uplinks", index], faults));
  uniqueNames(
    raw.map((item, index) => ({ name: nameOf(item), path: ["uplinks", index, "name"] })),
    "among uplinks",
    faults,
  );
  return uplinks.filter((uplink) => uplink !== undefined);
}

function readUplink(
  raw: unknown,
  modules: readonly UplinkModule[],
  gatewayId: string,
  path: Path,
  faults: Faults,
): LoadedUplink | undefined {
  const mapping = asMapping(raw, path, faults);
  if (mapping === undefined) return undefined;
  const module = pick(mapping, "type", modules, path, faults);
  if (module === undefined) return undefined;
  const sharedKeys = [...Object.keys(uplinkShape), "encoder"];
  const allowed = ["name", "type", ...allowedKeys(module.schema), ...sharedKeys.filter((key) => key !== "name")];
  const parts = split(mapping, sharedKeys, module.schema, allowed, path, faults);
  const { encoder: written = "values", ...rest } = parts?.shared ?? {};
  const shared = parseWith(sharedUplink, rest, path, faults);
  const encoder = parseWith(
    encoderOption,
    typeof written === "string" ? { name: written } : written,
    [...path, "encoder"],
    faults,
  );
  const options = parseWith(module.schema, parts?.own, path, faults);
  if (shared !== undefined) checkShared(shared, encoder, gatewayId, path, faults);
  if (options !== undefined) {
    for (const { path: inside, message, warning } of module.check(
      options,
      shared && { ...shared, ...(encoder === undefined ? {} : { encoder: encoder.name }) },
    )) {
      if (warning === true) faults.warn([...path, ...inside], message);
      else faults.add([...path, ...inside], message);
    }
  }
  if (shared === undefined || encoder === undefined || options === undefined) return undefined;
  return { name: shared.name, module, shared: { ...shared, encoder }, options };
}

function checkShared(
  shared: z.output<typeof sharedUplink>,
  encoder: EncoderOption | undefined,
  gatewayId: string,
  path: Path,
  faults: Faults,
): void {
  for (const [index, filter] of shared.select.entries()) checkFilter(filter, [...path, "select", index], faults);
  for (const fault of topicPlanFaults(shared, gatewayId, encoder === undefined || isPerTag(encoder))) {
    const { path: inside, message, unknown } = fault;
    const text =
      unknown === undefined
        ? message
        : `unknown placeholder "${unknown.whole}"${hint(unknown.whole, unknown.known, "use")}`;
    faults.add([...path, ...inside], text);
  }
}

/** Adds a fault for each way to a topic that the far side would not take from one of the devices. */
export function checkTopicReach(
  links: readonly LoadedLink[],
  uplinks: readonly LoadedUplink[],
  gatewayId: string,
  faults: Faults,
): void {
  const groups = links.flatMap((link) => link.groups);
  for (const [index, { shared }] of uplinks.entries()) {
    const { matches } = selectorOf(shared.select);
    const perTag = isPerTag(shared.encoder);
    const sources = groups
      .filter(({ device }) => matches(device.topic))
      .map(({ device, everyMs, tags }) => ({
        topic: device.topic,
        link: device.link,
        device: device.name,
        group: `${everyMs}ms`,
        tags: perTag ? tags.map(({ name }) => name) : [],
      }));
    for (const { path, message } of topicReachFaults(shared, gatewayId, sources)) {
      faults.add(["uplinks", index, ...path], message);
    }
  }
}
