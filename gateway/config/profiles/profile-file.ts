import { z } from "zod";
import { isRecord } from "../explain.ts";
import { ConfigFaults, type Locate, type Located, type Path, pathText } from "../faults.ts";
import { readSource } from "../source.ts";
import { parseYaml } from "../yaml.ts";
import type { FoundProfile } from "./library.ts";
import type { Scalar } from "./placeholders.ts";

const scalar = z.union([z.number(), z.string(), z.boolean()], {
  error: "a number, a text, true or false is needed",
});

const parameter = z.strictObject({
  default: scalar.optional(),
  description: z.string().optional(),
  min: z.number().optional(),
  max: z.number().optional(),
  oneOf: z.array(scalar).min(1).optional(),
});
export type Parameter = z.infer<typeof parameter>;

const source = z.strictObject({
  document: z.string().min(1),
  revision: z.string().optional(),
  url: z.string().optional(),
  /** Where that was read which names this document, when it was not read itself. */
  via: z.string().optional(),
});

/** Keys of a profile that are about itself. All others are keys of a device. */
const headShape = {
  vendor: z.string().min(1).optional(),
  model: z.string().min(1).optional(),
  description: z.string().optional(),
  /** What its register map was taken from. */
  source: z.union([source, z.array(source).min(1)]).optional(),
  driver: z.string().optional(),
  /** How its interface leaves the factory, for people. */
  link: z.record(z.string(), scalar).optional(),
  parameters: z.record(z.string().regex(/^[A-Za-z_]\w*$/), z.union([parameter, scalar])).optional(),
};
const head = z.object(headShape);

/** Keys of a device that belong to the one device. */
const FOREIGN: Readonly<Record<string, string>> = {
  name: "the device has its own name",
  unit: "the device has its own unit; what it leaves the factory with can be told in link",
  topic: "the device has its own topic",
  profile: "a device can have several profiles: profile: [a/b, c/d]",
  only: "it belongs to the device",
  except: "it belongs to the device",
};
/** Lists of mappings that are joined by name. */
export const NAMED_LISTS = ["tags", "derived"] as const;

export interface Profile extends FoundProfile {
  readonly vendor?: string | undefined;
  readonly model?: string | undefined;
  readonly description?: string | undefined;
  readonly sources: readonly z.infer<typeof source>[];
  /** Undefined where it fits any. */
  readonly driver?: string | undefined;
  readonly link: Readonly<Record<string, Scalar>>;
  readonly parameters: ReadonlyMap<string, Parameter>;
  /** Keys of a device as they are written, with placeholders; without `tags` and `derived`. */
  readonly keys: Readonly<Record<string, unknown>>;
  /** As they are written. */
  readonly lists: Readonly<Record<(typeof NAMED_LISTS)[number], readonly unknown[]>>;
  /** The file as it is named in messages. */
  readonly shown: string;
  readonly locate: Locate;
}

/** @throws ConfigFaults with every fault of the file. */
export async function readProfile(found: FoundProfile, shown: string): Promise<Profile> {
  const yaml = parseYaml(await readSource(found.file, shown));
  const faults: Located[] = yaml.faults.map(({ position, path, message }) => ({
    file: shown,
    ...position,
    path: pathText(path),
    message,
  }));
  const fault = (path: Path, message: string): void => {
    const { line, column } = yaml.locate(path);
    faults.push({ file: shown, line, column, path: pathText(path), message });
  };
  const raw = isRecord(yaml.value) ? yaml.value : {};
  if (faults.length === 0 && !isRecord(yaml.value)) fault([], "must be a mapping, with driver and tags");
  const parsed = head.safeParse(raw);
  for (const issue of parsed.error?.issues ?? [])
    fault(
      issue.path.map((step) => (typeof step === "number" ? step : String(step))),
      issue.message,
    );
  for (const [key, why] of Object.entries(FOREIGN)) {
    if (key in raw) fault([key], `a profile has no "${key}": ${why}`);
  }
  for (const key of NAMED_LISTS) {
    if (key in raw && !Array.isArray(raw[key])) fault([key], "must be a list");
  }
  if (faults.length > 0 || !parsed.success) throw new ConfigFaults(faults);
  const { vendor, model, description, driver, link = {}, parameters = {} } = parsed.data;
  const { source: from = [] } = parsed.data;
  const own = Object.entries(raw).filter(([key]) => !(key in headShape) && !NAMED_LISTS.some((list) => list === key));
  return {
    ...found,
    vendor,
    model,
    description,
    driver,
    link,
    sources: Array.isArray(from) ? from : [from],
    parameters: new Map(
      Object.entries(parameters).map(([name, it]) => [name, isRecord(it) ? parameter.parse(it) : { default: it }]),
    ),
    keys: Object.fromEntries(own),
    lists: { tags: listAt(raw, "tags"), derived: listAt(raw, "derived") },
    shown,
    locate: yaml.locate,
  };
}

function listAt(raw: Record<string, unknown>, key: string): readonly unknown[] {
  const value = raw[key];
  return Array.isArray(value) ? value : [];
}
