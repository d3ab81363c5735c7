import { BIT_AREA, bare, type Format, nameFor, numberIn, orderFor, RowFault } from "./tag.ts";

const TYPES: Readonly<Record<string, string>> = {
  int16: "int16",
  uint16: "uint16",
  word: "uint16",
  int32: "int32",
  uint32: "uint32",
  dword: "uint32",
  int64: "int64",
  uint64: "uint64",
  lword: "uint64",
  float: "float32",
  double: "float64",
};
/** The numbers that its API and older tables have for types. */
const NUMBERS: Readonly<Record<string, string>> = {
  3: "int16",
  4: "uint16",
  5: "int32",
  6: "uint32",
  7: "int64",
  8: "uint64",
  9: "float",
  10: "double",
  11: "bit",
  12: "bool",
  13: "string",
  16: "word",
  17: "dword",
  18: "lword",
};
const ORDERS: Readonly<Record<string, string>> = { LL: "ABCD", LB: "BADC", BL: "CDAB", BB: "DCBA" };
/** SLAVE!ADDRESS[.BIT][#ENDIAN][.LEN[H][L][D][E]] */
const ADDRESS = /^(\d{1,3})!(\d{5,6})(?:\.(\d{1,3})([HLDE]?))?(?:#([LB]{1,2}))?(?:\.(\d{1,3})([HLDE]?))?$/i;

/** The table of tags that Neuron and NeuronEX export. */
export const neuron: Format = {
  name: "neuron",
  fits: (header) => ["group", "name", "address", "attribute", "type"].every((name) => header.map(bare).includes(name)),
  read(cells, options) {
    const given = cells("type").toLowerCase();
    const type = NUMBERS[given] ?? given;
    const { station, place } = placeOf(cells("address"), type, options.order);
    const decimal = numberIn(cells("decimal"), "decimal");
    const writable = /write/i.test(cells("attribute")) || (Number(cells("attribute")) & 2) === 2;
    return {
      station,
      tag: {
        name: nameFor(cells("name")),
        ...place,
        ...(decimal === undefined || decimal === 0 || decimal === 1 || type === "bit" ? {} : { scale: decimal }),
        ...(writable && options.writable ? { writable: true as const } : {}),
      },
      description: cells("description"),
      notes: [],
    };
  },
};

function placeOf(text: string, type: string, order: string | undefined) {
  const match = ADDRESS.exec(text);
  if (!match) throw new RowFault(`"${text}" is not an address such as 1!400001, 1!400001.3 or 1!400001#BL`);
  const [, unit = "", classic = "", first, firstKind = "", endian, second, secondKind = ""] = match;
  const station = Number(unit);
  if (type === "string") return { station, place: textOf(text, classic, second ?? first, secondKind || firstKind) };
  if (BIT_AREA.test(classic)) return { station, place: { address: classic, type: "bool" } };
  if (type === "bit" || type === "bool") {
    if (first === undefined) throw new RowFault(`the bit at "${text}" has no number, such as ${text}.0`);
    return { station, place: { address: `${classic}.${Number(first)}`, type: "bool" } };
  }
  const known = TYPES[type];
  if (known === undefined) throw new RowFault(`type ${type} has no counterpart here`);
  if (endian?.toUpperCase() === "B") return { station, place: { address: classic, type: known, order: "BA" } };
  const own = endian === undefined ? order : ORDERS[endian.toUpperCase()];
  return { station, place: { address: classic, type: known, ...orderFor(known, own) } };
}

function textOf(text: string, address: string, length: string | undefined, kind: string) {
  if (length === undefined) throw new RowFault(`the string at "${text}" has no length, such as ${text}.20H`);
  if (/[DE]/i.test(kind))
    throw new RowFault(`"${text}" has one character in each register, which has no counterpart here`);
  return { address, type: `string(${Number(length)})`, ...(/L/i.test(kind) ? { order: "BA" } : {}) };
}
