import { settledTree, type TagSettings } from "./options.ts";
import { INTEGERS } from "./wave.ts";

interface Fault {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** What the schemas cannot see. Nothing when the link does not even have their shape: that is reported by them. */
export function checkLink(link: unknown): Fault[] {
  const tree = settledTree.safeParse(link);
  if (!tree.success) return [];
  return tree.data.devices.flatMap((device, index) =>
    device.tags.flatMap((tag, at) =>
      checkTag(tag).map((fault) => ({ ...fault, path: ["devices", index, "tags", at, ...fault.path] })),
    ),
  );
}

function checkTag({ type, min, max }: TagSettings): Fault[] {
  const faults: Fault[] = [];
  if (min > max) faults.push({ path: ["max"], message: `max ${max} is below min ${min}` });
  const bounds = INTEGERS[type];
  if (!bounds) return faults;
  for (const [key, value] of [
    ["min", min],
    ["max", max],
  ] as const) {
    if (value < bounds[0] || value > bounds[1]) {
      faults.push({ path: [key], message: `${key} ${value} is no ${type}: ${bounds[0]} to ${bounds[1]}` });
    }
  }
  return faults;
}
