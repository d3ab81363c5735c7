import { z } from "zod";
import { uplinkShape } from "../core/options/uplink.ts";
import type { UplinkModule } from "../core/uplink.ts";
import { allowedKeys } from "./explain.ts";
import type { Faults, Path } from "./faults.ts";
import { nameOf, pick } from "./links.ts";
import { asMapping, parseWith, split, uniqueNames } from "./sections.ts";
import { checkFilter, resolveTopic } from "./topics.ts";
import type { LoadedUplink } from "./types.ts";

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
  const sharedKeys = Object.keys(uplinkShape);
  const allowed = ["name", "type", ...allowedKeys(module.schema), ...sharedKeys.filter((key) => key !== "name")];
  const parts = split(mapping, sharedKeys, module.schema, allowed, path, faults);
  const shared = parseWith(sharedUplink, parts?.shared, path, faults);
  const options = parseWith(module.schema, parts?.own, path, faults);
  if (shared !== undefined) checkShared(shared, gatewayId, path, faults);
  if (options !== undefined) {
    for (const fault of module.check(options)) faults.add([...path, ...fault.path], fault.message);
  }
  if (shared === undefined || options === undefined) return undefined;
  return { name: shared.name, module, shared, options };
}

function checkShared(shared: z.output<typeof sharedUplink>, gatewayId: string, path: Path, faults: Faults): void {
  for (const [index, filter] of shared.select.entries()) checkFilter(filter, [...path, "select", index], faults);
  const topic = resolveTopic(shared.topic, { gateway: gatewayId, topic: "topic" }, [...path, "topic"], faults);
  if (topic !== undefined && !shared.topic.includes("{topic}")) {
    faults.add(
      [...path, "topic"],
      'must contain {topic}, or all records share one topic; write for example "acme/{topic}"',
    );
  }
}
