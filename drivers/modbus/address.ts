/** The four tables of the Modbus data model (MODBUS Application Protocol V1.1b3, 4.3). */
export type Area = "coil" | "discrete" | "input" | "holding";
export type ReadCode = 1 | 2 | 3 | 4;

interface AreaFacts {
  readonly functionCode: ReadCode;
  /** True where one address is a bit, false where it is a register of 16. */
  readonly bits: boolean;
  /** First digit of the classic form. */
  readonly digit: string;
}

export const AREAS: Readonly<Record<Area, AreaFacts>> = {
  coil: { functionCode: 1, bits: true, digit: "0" },
  discrete: { functionCode: 2, bits: true, digit: "1" },
  holding: { functionCode: 3, bits: false, digit: "4" },
  input: { functionCode: 4, bits: false, digit: "3" },
};
/** In the order in which a plan asks for them. */
export const AREA_NAMES: readonly Area[] = ["coil", "discrete", "input", "holding"];

/** Addresses of one area: 0 to this, inclusive. */
export const LAST_ADDRESS = 65_535;
/** Most registers and most bits that one answer can carry (V1.1b3, 6.1 and 6.3). */
export const MAX_REGISTERS = 125;
export const MAX_BITS = 2000;

export interface Address {
  readonly area: Area;
  /** Zero-based, as on the wire. */
  readonly index: number;
  /** Of a register, 0 is the least significant. */
  readonly bit?: number;
}

const NAMED = /^(coil|discrete|input|holding):(\d{1,9})(?:\.(\d{1,3}))?$/;
const CLASSIC = /^([0134])(\d{4}|\d{5})(?:\.(\d{1,3}))?$/;
const FORMS = 'an address is "holding:0", "holding:7.3" for a bit, or a classic one such as 40001';

/**
 * Reads `holding:0`, `holding:7.3`, and the classic one-based `40001`, `400001`, `"00001"`.
 * @throws RangeError naming the fault and the cure.
 */
export function parseAddress(text: string | number): Address {
  if (typeof text === "number") return parseNumber(text);
  const named = NAMED.exec(text);
  if (named) return addressOf(named[1] as Area, Number(named[2]), named[3]);
  const classic = CLASSIC.exec(text);
  if (!classic) throw new RangeError(`${FORMS}; not "${text}"`);
  const area = AREA_NAMES.find((name) => AREAS[name].digit === classic[1]) ?? "holding";
  const number = Number(classic[2]);
  if (number === 0)
    throw new RangeError(`classic addresses count from 1: "${text}" does not exist, the first is one more`);
  return addressOf(area, number - 1, classic[3]);
}

/** `holding:7.3`, whatever form it was written in. */
export function formatAddress({ area, index, bit }: Address): string {
  return `${area}:${index}${bit === undefined ? "" : `.${bit}`}`;
}

function parseNumber(value: number): Address {
  // YAML reads 00001 as 1 and 40008.10 as 40008.1, so what was meant cannot be known.
  if (!Number.isInteger(value) || value < 10_001) {
    throw new RangeError(`${FORMS}; write ${value} in quotes, or as area:number`);
  }
  return parseAddress(String(value));
}

function addressOf(area: Area, index: number, bit: string | undefined): Address {
  if (index > LAST_ADDRESS) throw new RangeError(`the last address of an area is ${LAST_ADDRESS}, not ${index}`);
  if (bit === undefined) return { area, index };
  if (AREAS[area].bits) throw new RangeError(`${area}:${index} is a single bit already: remove ".${bit}"`);
  if (Number(bit) > 15) throw new RangeError(`a register has the bits 0 to 15, not ${bit}`);
  return { area, index, bit: Number(bit) };
}
