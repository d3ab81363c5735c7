import { readFile, writeFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { stringify } from "yaml";
import type { DriverModule } from "../core/driver.ts";
import { messageOf } from "../core/errors.ts";
import { faultsOf } from "./import/check.ts";
import { COLUMNS, columns } from "./import/columns.ts";
import { decodeText, type Row, readCsv } from "./import/csv.ts";
import { kepware } from "./import/kepware.ts";
import { neuron } from "./import/neuron.ts";
import { cellsOf, type Format, type FormatOptions, type ImportedRow, RowFault } from "./import/tag.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";

const FORMATS: readonly Format[] = [kepware, neuron, columns];

const HELP = `millrace import - tags from the table of another program

Usage: millrace import FILE.csv [--format kepware|neuron|columns] [--device NAME] [-o FILE]

  --format FORMAT      kepware, neuron, or columns of your own; without it as the header says
  --map KEY=COLUMN,…   for columns: what yours are called, as in name=Signal,address=Register,scale=Faktor;
                       keys: ${Object.keys(COLUMNS).join(", ")}
  --area AREA          for columns: plain numbers are addresses of coil, discrete, input or holding
  --base 0|1           with --area: what the first register is called (default 0)
  --order ORDER        for values of 32 and 64 bits where the table has none: ABCD, CDAB, BADC or DCBA
  --delimiter SIGN     between cells; without it as the first line says (, ; or tab)
  --device NAME        a whole device; without it the tags, to be pasted into a device or to be saved as a profile
  --unit N             unit id of that device (default 1)
  --writable           take over what may be written
  -o, --output FILE    instead of the terminal; an existing file is not overwritten
  --json               tags and refused rows as JSON
  -h, --help           this text

The file may be UTF-8, UTF-16 or Windows-1252, with decimal points or commas. Each row that cannot be taken is named with
its line and why; the others are written.
Exit codes: 0 all rows taken, 1 some could not be, 64 usage, 66 no such file.

Example: millrace import tags.csv --order CDAB -o profiles/own/press.yaml
`;

const OPTIONS = {
  format: { type: "string" },
  map: { type: "string" },
  area: { type: "string" },
  base: { type: "string", default: "0" },
  order: { type: "string" },
  delimiter: { type: "string" },
  device: { type: "string" },
  unit: { type: "string" },
  writable: { type: "boolean", default: false },
  output: { type: "string", short: "o" },
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
} as const;

interface Refused {
  readonly line: number;
  readonly reason: string;
}

/** `millrace import`. `driver` is the one whose addresses the tables have. */
export function runImport(args: string[], io: CliIo, { driver }: { readonly driver: DriverModule }): Promise<number> {
  return asCommand("import", io, async () => {
    const { values, positionals } = parseCommand(args, OPTIONS);
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const [file, ...more] = positionals;
    if (file === undefined || more.length > 0) throw new UsageError("give one file, e.g. tags.csv");
    const options = formatOptions(values);
    const station = unitOf(values.unit);
    let bytes: Uint8Array;
    try {
      bytes = await readFile(resolve(io.cwd, file));
    } catch (error) {
      io.err(`millrace import: ${messageOf(error)}\n`);
      return EXIT.noInput;
    }
    const [header, ...rows] = readCsv(decodeText(bytes), delimiterOf(values.delimiter));
    if (header === undefined || rows.length === 0) throw new UsageError(`${file} has no rows below a header`);
    const format = formatOf(values.format, header);
    checkColumns(format, header, options);
    const { taken, refused } = take(rows, header, format, options, driver);
    for (const { line, reason } of refused) io.err(`${file}:${line}: not taken: ${reason}\n`);
    for (const { line, notes, tag } of taken)
      for (const note of notes) io.err(`${file}:${line}: ${tag.name}: ${note}\n`);
    io.err(`${taken.length} of ${rows.length} rows taken as ${format.name}${orderNote(taken, format, options)}\n`);
    const text = values.json
      ? `${JSON.stringify({ format: format.name, tags: taken.map(({ tag, line, station: from }) => ({ line, station: from, ...tag })), refused }, null, 2)}\n`
      : written(taken, basename(file), format, values.device, station);
    if (taken.length > 0) await deliver(text, values.output, io);
    return refused.length === 0 ? EXIT.ok : EXIT.no;
  });
}

function take(
  rows: readonly Row[],
  header: Row,
  format: Format,
  options: FormatOptions,
  driver: DriverModule,
): { readonly taken: readonly ImportedRow[]; readonly refused: readonly Refused[] } {
  const read: ImportedRow[] = [];
  const refused: Refused[] = [];
  for (const row of rows) {
    try {
      read.push({ line: row.line, ...format.read(cellsOf(header.cells, row), options) });
    } catch (error) {
      if (!(error instanceof RowFault)) throw error;
      refused.push({ line: row.line, reason: error.message });
    }
  }
  const stations = new Map<number | undefined, ImportedRow[]>();
  for (const row of read) stations.set(row.station, [...(stations.get(row.station) ?? []), row]);
  const taken: ImportedRow[] = [];
  for (const own of stations.values()) {
    const faults = faultsOf(own, driver);
    for (const row of own) {
      const reason = faults.get(row);
      if (reason === undefined) taken.push(row);
      else refused.push({ line: row.line, reason: `${row.tag.name}: ${reason}` });
    }
  }
  return { taken, refused: refused.sort((a, b) => a.line - b.line) };
}

/** YAML: tags alone, or devices where there is a name for one, or several unit ids. */
function written(
  rows: readonly ImportedRow[],
  file: string,
  format: Format,
  device: string | undefined,
  unit: number | undefined,
): string {
  const head = `# ${rows.length} tags of ${file} (${format.name})\n`;
  const stations = [...new Set(rows.map(({ station }) => station))];
  if (stations.length === 1 && device === undefined) return `${head}tags:\n${listed(rows, "  ")}`;
  const name = device ?? "device";
  const devices = stations.map((station) => {
    const own = rows.filter((row) => row.station === station);
    const full = stations.length === 1 ? name : `${name}-${station}`;
    return `  - name: ${full}\n    unit: ${unit ?? station ?? 1}\n    tags:\n${listed(own, "      ")}`;
  });
  return `${head}devices:\n${devices.join("")}`;
}

/** One tag a line, with its description behind it. */
function listed(rows: readonly ImportedRow[], indent: string): string {
  return rows
    .map(({ tag, description }) => {
      const flow = stringify(tag, { collectionStyle: "flow", lineWidth: 0, flowCollectionPadding: true }).trimEnd();
      const about = description?.replaceAll(/\s+/g, " ").trim() ?? "";
      return `${indent}- ${flow}${about === "" ? "" : ` # ${about}`}\n`;
    })
    .join("");
}

async function deliver(text: string, output: string | undefined, io: CliIo): Promise<void> {
  if (output === undefined) {
    io.out(text);
    return;
  }
  try {
    await writeFile(resolve(io.cwd, output), text, { flag: "wx" });
  } catch (error) {
    throw new UsageError(`--output: ${messageOf(error)}`);
  }
}

function formatOf(name: string | undefined, header: Row): Format {
  const found = FORMATS.find((format) => (name === undefined ? format.fits(header.cells) : format.name === name));
  if (found !== undefined) return found;
  throw new UsageError(`--format is one of ${FORMATS.map((format) => format.name).join(", ")}; not "${name}"`);
}

function checkColumns(format: Format, header: Row, { map }: FormatOptions): void {
  const there = header.cells.map((cell) => cell.trim());
  const has = (name: string): boolean => there.some((cell) => cell.toLowerCase() === name.toLowerCase());
  const missing = [...map.values()].find((column) => !has(column));
  if (missing !== undefined)
    throw new UsageError(`--map: there is no column "${missing}"; there is ${there.join(", ")}`);
  if (format !== columns) {
    if (!format.fits(header.cells))
      throw new UsageError(`the header is not that of ${format.name}: ${there.join(", ")}`);
    return;
  }
  for (const key of ["name", "address", "type"]) {
    if (map.has(key) || (COLUMNS[key] ?? []).some(has)) continue;
    throw new UsageError(`which column is the ${key}? Say --map ${key}=COLUMN; there is ${there.join(", ")}`);
  }
}

function orderNote(rows: readonly ImportedRow[], format: Format, { order }: FormatOptions): string {
  const wide = rows.some(({ tag }) => /(32|64)$/.test(tag.type) && tag.order === undefined);
  if (format !== kepware || order !== undefined || !wide) return "";
  return `; the word order of values of 32 and 64 bits is a setting of the device in Kepware and not in this file: it was
taken as ABCD (first word high); with "first word low" import again with --order CDAB`;
}

function formatOptions(values: {
  readonly map?: string | undefined;
  readonly area?: string | undefined;
  readonly base?: string | undefined;
  readonly order?: string | undefined;
  readonly writable?: boolean | undefined;
}): FormatOptions {
  const { map, area, base, order, writable = false } = values;
  if (area !== undefined && !["coil", "discrete", "input", "holding"].includes(area))
    throw new UsageError(`--area is coil, discrete, input or holding; not "${area}"`);
  if (base !== "0" && base !== "1") throw new UsageError(`--base is 0 or 1; not "${base}"`);
  if (order !== undefined && !["ABCD", "CDAB", "BADC", "DCBA"].includes(order))
    throw new UsageError(`--order is ABCD, CDAB, BADC or DCBA; not "${order}"`);
  return {
    map: mapOf(map),
    base: base === "1" ? 1 : 0,
    writable,
    ...(area === undefined ? {} : { area }),
    ...(order === undefined ? {} : { order }),
  };
}

function mapOf(text: string | undefined): ReadonlyMap<string, string> {
  const pairs = (text ?? "").split(",").filter((pair) => pair.trim() !== "");
  return new Map(
    pairs.map((pair) => {
      const [key = "", ...column] = pair.split("=");
      if (!(key.trim() in COLUMNS) || column.length === 0)
        throw new UsageError(`--map: write KEY=COLUMN with a key of ${Object.keys(COLUMNS).join(", ")}; not "${pair}"`);
      return [key.trim(), column.join("=").trim()] as const;
    }),
  );
}

function unitOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,3}$/.test(text) && Number(text) <= 255) return Number(text);
  throw new UsageError(`--unit is a number from 0 to 255; not "${text}"`);
}

function delimiterOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (text === "tab" || text === "\\t") return "\t";
  if (text.length === 1) return text;
  throw new UsageError(`--delimiter is one sign, or tab; not "${text}"`);
}
