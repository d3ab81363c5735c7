import { bare, type Cells, type Format, type FormatOptions, nameFor, numberIn, orderFor, RowFault } from "./tag.ts";

/** What people call their columns; `--map` says it where they call them otherwise. */
export const COLUMNS: Readonly<Record<string, readonly string[]>> = {
  name: ["name", "tag", "tag name", "tagname", "signal", "bezeichnung"],
  address: ["address", "register", "reg", "adresse", "modbus address", "offset address"],
  type: ["type", "data type", "datatype", "format", "typ", "datentyp"],
  order: ["order", "byte order", "endian"],
  scale: ["scale", "factor", "faktor", "multiplier", "gain", "skalierung"],
  offset: ["offset"],
  unit: ["unit", "units", "einheit", "eng units"],
  every: ["every", "interval", "scan rate"],
  description: ["description", "comment", "beschreibung", "kommentar"],
};

const TYPES: Readonly<Record<string, string>> = {
  s16: "int16",
  i16: "int16",
  int: "int16",
  short: "int16",
  u16: "uint16",
  uint: "uint16",
  word: "uint16",
  s32: "int32",
  i32: "int32",
  dint: "int32",
  long: "int32",
  u32: "uint32",
  udint: "uint32",
  dword: "uint32",
  s64: "int64",
  i64: "int64",
  lint: "int64",
  u64: "uint64",
  ulint: "uint64",
  lword: "uint64",
  real: "float32",
  float: "float32",
  single: "float32",
  f32: "float32",
  lreal: "float64",
  double: "float64",
  f64: "float64",
  bit: "bool",
  boolean: "bool",
};

/** A table with columns of one's own. */
export const columns: Format = {
  name: "columns",
  fits: () => true,
  read(cells, options) {
    const cell = (key: string) => textIn(key, cells, options);
    const name = nameFor(cell("name"));
    const type = typeOf(cell("type"));
    const scale = numberIn(cell("scale"), "scale");
    const offset = numberIn(cell("offset"), "offset");
    const unit = cell("unit");
    const every = cell("every");
    return {
      tag: {
        name,
        address: addressOf(cell("address"), options),
        type,
        ...orderFor(type, cell("order") === "" ? options.order : cell("order").toUpperCase()),
        ...(scale === undefined || scale === 1 ? {} : { scale }),
        ...(offset === undefined || offset === 0 ? {} : { offset }),
        ...(unit === "" || unit === "-" ? {} : { unit }),
        ...(every === "" ? {} : { every: /^\d+$/.test(every) ? `${every}ms` : every }),
      },
      description: cell("description"),
      notes: [],
    };
  },
};

function textIn(key: string, cells: Cells, { map }: FormatOptions): string {
  const mapped = map.get(key);
  if (mapped !== undefined) return cells(mapped);
  return (COLUMNS[key] ?? []).map((name) => cells(name)).find((text) => text !== "") ?? "";
}

function typeOf(text: string): string {
  if (text === "") throw new RowFault("no type");
  const name = bare(text).replaceAll(/[\s_-]/g, "");
  return TYPES[name] ?? name;
}

function addressOf(text: string, { area, base }: FormatOptions): string {
  if (text === "") throw new RowFault("no address");
  if (text.includes(":")) return text;
  const [number = "", bit] = text.replace(",", ".").split(".");
  const value = /^0x[0-9a-f]+$/i.test(number)
    ? Number.parseInt(number, 16)
    : /^\d+$/.test(number)
      ? Number(number)
      : Number.NaN;
  if (Number.isNaN(value)) throw new RowFault(`"${text}" is not an address such as holding:0, 40001 or 0x0BD3`);
  const suffix = bit === undefined ? "" : `.${Number(bit)}`;
  if (area !== undefined) return `${area}:${value - base}${suffix}`;
  if (/^0x/i.test(number)) throw new RowFault(`what kind of register is "${text}"? Say --area holding, or input`);
  return `${number}${suffix}`;
}
