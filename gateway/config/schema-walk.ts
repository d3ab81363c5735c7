import { isRecord } from "./explain.ts";

/** A JSON Schema as far as configurations use it. */
export type Schema = Readonly<Record<string, unknown>>;

/** A key that may stand in a map. */
export interface Key {
  readonly label: string;
  readonly required: boolean;
  readonly type: string;
  readonly description: string;
  /** What its value is written as, where it can be more than one line. */
  readonly shape: "scalar" | "map" | "list";
}

/**
 * The schemas that can hold at a path of a value, with all choices made that the value tells (`type: tcp`, `driver: modbus`), and what
 * is there.
 */
export function schemasAt(
  schema: Schema,
  path: readonly (string | number)[],
  root: unknown,
): { readonly schemas: readonly Schema[]; readonly value: unknown } {
  let value = root;
  let schemas = choices(schema, value);
  for (const step of path) {
    value = at(value, step);
    schemas = schemas.flatMap((one) => below(one, step)).flatMap((one) => choices(one, value));
  }
  return { schemas, value };
}

function at(value: unknown, step: string | number): unknown {
  if (Array.isArray(value)) return value[Number(step)];
  return isRecord(value) ? value[step] : undefined;
}

function below(schema: Schema, step: string | number): Schema[] {
  const { properties, items, additionalProperties } = schema;
  if (typeof step === "number") return isRecord(items) ? [items] : [];
  const own = isRecord(properties) && Object.hasOwn(properties, step) ? properties[step] : undefined;
  if (isRecord(own)) return [own];
  return isRecord(additionalProperties) ? [additionalProperties] : [];
}

/** A schema, and what its choices come to for a value; without choices of its own. */
function choices(schema: Schema, value: unknown): Schema[] {
  const { oneOf, anyOf, allOf, if: condition, then, else: otherwise, ...plain } = schema;
  const options = [...listOf(oneOf), ...listOf(anyOf)].filter((option) => fits(option, value));
  const chosen = isRecord(condition) ? [holds(condition, value) ? then : otherwise].filter(isRecord) : [];
  const shared = sharedBy(listOf(allOf).filter((one) => isOpen(one, value)));
  return [plain, ...shared, ...[...options, ...listOf(allOf), ...chosen].flatMap((one) => choices(one, value))];
}

/** Whether a part waits for a choice that is not made yet: its `if` asks for a key that is not there. */
function isOpen({ if: condition }: Schema, value: unknown): boolean {
  if (!isRecord(condition) || !isRecord(condition["properties"])) return false;
  const keys = Object.keys(condition["properties"]);
  return keys.some((key) => !isRecord(value) || value[key] === undefined || value[key] === null);
}

/** What is so whichever of these parts is chosen. */
function sharedBy(parts: readonly Schema[]): Schema[] {
  const [first, ...others] = parts.map(({ then }) => then).filter(isRecord);
  if (first === undefined || !isRecord(first["properties"])) return [];
  const inAll = (key: string) =>
    others.every(({ properties }) => isRecord(properties) && Object.hasOwn(properties, key));
  const properties = Object.fromEntries(Object.entries(first["properties"]).filter(([key]) => inAll(key)));
  const needed = (schema: Schema) => (Array.isArray(schema["required"]) ? schema["required"] : []);
  const required = needed(first).filter((key) => others.every((other) => needed(other).includes(key)));
  return [{ properties, required }];
}

function listOf(value: unknown): Schema[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

/** Whether a choice can be meant: nothing that is there says otherwise. */
function fits(option: Schema, value: unknown): boolean {
  const { type, properties } = option;
  if (value === undefined || value === null) return true;
  if (Array.isArray(value)) return type === undefined || type === "array";
  if (!isRecord(value)) return true;
  if (type !== undefined && type !== "object") return false;
  if (!isRecord(properties)) return true;
  return Object.entries(value).every(([key, given]) => {
    const known = Object.hasOwn(properties, key) ? properties[key] : undefined;
    const constant = isRecord(known) ? known["const"] : undefined;
    return constant === undefined || given === null || given === constant;
  });
}

/** `if` of a schema: that keys are there, and what they are. */
function holds({ properties, required }: Schema, value: unknown): boolean {
  if (!isRecord(value)) return false;
  const isThere = (key: unknown) => typeof key === "string" && Object.hasOwn(value, key);
  if (Array.isArray(required) && !required.every(isThere)) return false;
  return Object.entries(isRecord(properties) ? properties : {}).every(
    ([key, wanted]) => !isRecord(wanted) || wanted["const"] === undefined || value[key] === wanted["const"],
  );
}

/** The keys that maps of these schemas can have; each once. */
export function keysOf(schemas: readonly Schema[]): Key[] {
  const found = new Map<string, Key>();
  for (const { properties, required } of schemas) {
    if (!isRecord(properties)) continue;
    const needed = Array.isArray(required) ? required : [];
    for (const [label, schema] of Object.entries(properties)) {
      if (!isRecord(schema)) continue;
      const known = found.get(label);
      const { type, shape } = kindOf(schema);
      const description = typeof schema["description"] === "string" ? schema["description"] : "";
      const isNeeded = needed.includes(label);
      found.set(label, {
        label,
        required: isNeeded || known?.required === true,
        type: known?.type || type,
        description: known?.description || description,
        shape: known?.type ? known.shape : shape,
      });
    }
  }
  return [...found.values()];
}

const NAMES: Readonly<Record<string, string>> = {
  string: "text",
  integer: "whole number",
  number: "number",
  boolean: "true or false",
  array: "list",
  object: "map",
};

function kindOf(schema: Schema): Pick<Key, "type" | "shape"> {
  const types = new Set<string>();
  const collect = (one: Schema): void => {
    if (typeof one["type"] === "string") types.add(one["type"]);
    else if (Array.isArray(one["enum"]) || one["const"] !== undefined) types.add("string");
    for (const option of [...listOf(one["oneOf"]), ...listOf(one["anyOf"])]) collect(option);
  };
  collect(schema);
  const only = types.size === 1 ? [...types][0] : undefined;
  return {
    type: [...types].map((name) => NAMES[name] ?? name).join(" or "),
    shape: only === "object" ? "map" : only === "array" ? "list" : "scalar",
  };
}

/** The values that can be named beforehand; each once. */
export function valuesOf(schemas: readonly Schema[]): { readonly text: string; readonly description: string }[] {
  const found = new Map<string, string>();
  const put = (value: unknown, description: string) => {
    const text = scalarText(value);
    if (text !== undefined && !found.get(text)) found.set(text, description);
  };
  for (const schema of schemas) {
    const { const: constant, default: usual, description } = schema;
    if (constant !== undefined) put(constant, typeof description === "string" ? description : "");
    for (const one of namedBy(schema)) put(one, one === usual ? "default" : "");
    if (!isRecord(usual)) put(usual, "default");
  }
  return [...found].map(([text, description]) => ({ text, description }));
}

function namedBy({ type, enum: all, required }: Schema): unknown[] {
  const [first] = Array.isArray(required) ? required : [];
  return [
    ...(Array.isArray(all) ? all : []),
    ...(type === "boolean" ? [true, false] : []),
    ...(type === "object" && typeof first === "string" ? [`{ ${first}: `] : []),
  ];
}

/** As YAML has it, so that it is read as the same again. */
function scalarText(value: unknown): string | undefined {
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "string") return undefined;
  if (value.startsWith("{ ")) return value;
  return /^[A-Za-z_][\w./ -]*[\w]$|^[A-Za-z]$/.test(value) && !/^(?:true|false|null|yes|no|on|off|y|n)$/i.test(value)
    ? value
    : JSON.stringify(value);
}
