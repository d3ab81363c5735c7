import {
  BIT_AREA,
  bare,
  type Cells,
  type Format,
  type FormatOptions,
  nameFor,
  numberIn,
  orderFor,
  RowFault,
  tidy,
} from "./tag.ts";

const TYPES: Readonly<Record<string, string>> = {
  short: "int16",
  word: "uint16",
  long: "int32",
  dword: "uint32",
  llong: "int64",
  qword: "uint64",
  float: "float32",
  double: "float64",
  bcd: "bcd16",
  lbcd: "bcd32",
};
const ADDRESS = /^(\d{5,6})(?:\.(\d{1,3})([HL]?))?$/i;

/** The tag table that KEPServerEX writes with "Export CSV". */
export const kepware: Format = {
  name: "kepware",
  fits: (header) => ["tag name", "address", "data type"].every((name) => header.map(bare).includes(name)),
  read(cells, options) {
    const notes: string[] = [];
    const place = placeOf(cells("Address"), cells("Data Type"), options);
    const writable = /w/i.test(cells("Client Access"));
    if (/^(clamp|yes|1|true)/i.test(cells("Clamp Low")) || /^(yes|1|true)/i.test(cells("Clamp High")))
      notes.push("clamping is not taken over");
    const unit = cells("Eng Units");
    return {
      tag: {
        name: nameFor(cells("Tag Name")),
        ...place,
        ...scalingOf(cells),
        ...(unit === "" ? {} : { unit }),
        ...everyOf(cells("Scan Rate")),
        ...(writable && options.writable ? { writable: true as const } : {}),
      },
      description: cells("Description"),
      notes,
    };
  },
};

function placeOf(text: string, dataType: string, { order }: FormatOptions) {
  if (/\[/.test(text)) throw new RowFault(`"${text}" is an array: import its elements one by one`);
  const match = ADDRESS.exec(text);
  if (!match) throw new RowFault(`"${text}" is not a Modbus address such as 400001, 40001.3 or 300010`);
  const [, classic = "", digits, half] = match;
  const type = dataType.toLowerCase();
  if (type === "string") {
    if (digits === undefined) throw new RowFault(`the string at "${text}" has no length, such as ${text}.20H`);
    const low = half?.toUpperCase() === "L";
    return { address: classic, type: `string(${Number(digits)})`, ...(low ? { order: "BA" } : {}) };
  }
  if (BIT_AREA.test(classic)) return { address: classic, type: "bool" };
  if (digits !== undefined) return { address: `${classic}.${Number(digits)}`, type: "bool" };
  if (type === "boolean") throw new RowFault(`the Boolean at "${text}" has no bit, such as ${text}.0`);
  const known = type === "default" || type === "" ? "uint16" : TYPES[type];
  if (known === undefined) throw new RowFault(`data type ${dataType} has no counterpart here`);
  return { address: classic, type: known, ...orderFor(known, order) };
}

function scalingOf(cells: Cells): { scale?: number; offset?: number } {
  const kind = cells("Scaling").toLowerCase();
  const sign = /^(1|yes|true)$/i.test(cells("Negate Value")) ? -1 : 1;
  if (kind === "" || kind === "none") return sign === 1 ? {} : { scale: -1 };
  if (kind !== "linear") throw new RowFault(`scaling "${cells("Scaling")}" has no counterpart here; only Linear has`);
  const [rawLow = 0, rawHigh = 0] = [numberIn(cells("Raw Low"), "Raw Low"), numberIn(cells("Raw High"), "Raw High")];
  const [low = 0, high = 0] = [
    numberIn(cells("Scaled Low"), "Scaled Low"),
    numberIn(cells("Scaled High"), "Scaled High"),
  ];
  if (rawHigh === rawLow) throw new RowFault("Raw Low and Raw High are the same");
  const scale = (sign * (high - low)) / (rawHigh - rawLow);
  const offset = sign * low - rawLow * scale;
  return {
    ...(scale === 1 ? {} : { scale: tidy(scale) }),
    ...(Math.abs(offset) < 1e-12 ? {} : { offset: tidy(offset) }),
  };
}

function everyOf(text: string): { every?: string } {
  const ms = numberIn(text, "Scan Rate");
  return ms === undefined || ms <= 0 || ms === 1000 ? {} : { every: `${Math.max(10, Math.round(ms))}ms` };
}
