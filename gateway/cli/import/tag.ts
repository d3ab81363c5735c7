import type { Row } from "./csv.ts";

/** A tag as the configuration has it, with what a table says about it. */
export interface ImportedTag {
  readonly name: string;
  readonly address: string;
  readonly type: string;
  readonly order?: string;
  readonly scale?: number;
  readonly offset?: number;
  readonly unit?: string;
  readonly every?: string;
  readonly writable?: true;
}

export interface ImportedRow {
  readonly line: number;
  readonly tag: ImportedTag;
  /** Unit id, where the table has one. */
  readonly station?: number;
  readonly description?: string;
  /** What was not taken over, though the tag was. */
  readonly notes: readonly string[];
}

/** Why a row cannot be taken; the message is for people. */
export class RowFault extends Error {
  override readonly name = "RowFault";
}

/** Cells of a row by the name of their column, blanks around them removed. */
export type Cells = (column: string) => string;

export interface Format {
  readonly name: string;
  /** Whether a table with such a header is one. */
  fits(header: readonly string[]): boolean;
  /** @throws RowFault. */
  read(cells: Cells, options: FormatOptions): Omit<ImportedRow, "line">;
}

export interface FormatOptions {
  /** For values of several registers, where the table does not say. */
  readonly order?: string;
  /** Take over what may be written. */
  readonly writable: boolean;
  /** Own columns: what each is called, and what plain numbers of addresses mean. */
  readonly map: ReadonlyMap<string, string>;
  readonly area?: string;
  readonly base: 0 | 1;
}

export function cellsOf(header: readonly string[], row: Row): Cells {
  const places = new Map(header.map((name, index) => [bare(name), index]));
  return (column) => {
    const place = places.get(bare(column));
    return place === undefined ? "" : (row.cells[place] ?? "").trim();
  };
}

export function bare(name: string): string {
  return name.trim().toLowerCase();
}

/** `0,1` and `0.1`; undefined for an empty cell. @throws RowFault. */
export function numberIn(text: string, what: string): number | undefined {
  if (text === "") return undefined;
  const point = /^[-+]?\d{1,3}(\.\d{3})+,\d+$/.test(text) ? text.replaceAll(".", "") : text;
  const number = Number(point.replace(",", "."));
  if (!Number.isFinite(number)) throw new RowFault(`${what} "${text}" is not a number`);
  return number;
}

/** As short as it was meant: 0.1 and not 0.10000000000000002. */
export function tidy(value: number): number {
  return Number(value.toPrecision(12));
}

/** Orders by name fit four bytes; eight need their own. */
export function orderFor(type: string, order: string | undefined): { order?: string } {
  if (order === undefined) return {};
  const bytes = /64$/.test(type) ? 8 : /32$/.test(type) ? 4 : 2;
  if (bytes === 2) return {};
  if (bytes === 4) return order === "ABCD" ? {} : { order };
  const wide: Readonly<Record<string, string>> = { CDAB: "GHEFCDAB", BADC: "BADCFEHG", DCBA: "HGFEDCBA" };
  const found = wide[order];
  return found === undefined ? {} : { order: found };
}

export const BIT_AREA = /^(0|1)(\d{4}|\d{5})$/;

/** A name that can be a level of a topic. */
export function nameFor(text: string): string {
  if (text === "") throw new RowFault("no name");
  return text.replaceAll(/[/+#\s\p{Cc}]+/gu, "_");
}
