import type { Sample } from "../core/sample.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import { failed } from "./line/fail.ts";
import { type AdHoc, type Lines, linesOf, type Target } from "./line/lines.ts";
import { countOption, LINE_HELP, LINE_OPTIONS } from "./line/options.ts";
import { jsonValue, shown } from "./line/show.ts";
import type { LineTools } from "./line/tools.ts";
import { table } from "./table.ts";

const HELP = `millrace read - read tags or addresses once

Usage: millrace read DEVICE/TAG... [--config FILE]
       millrace read DEVICE                                  all tags of a device
       millrace read DEVICE/ADDRESS [--type T] [--order O]   an address that is not configured
       millrace read ADDRESS... --unit N (--link NAME | --tcp HOST | --rtu PATH)

${LINE_HELP}
  --unit N             unit id, for addresses
  --type T             uint16 (default), float32, bool, string(8), bits(0,4), ...
  --order O            order of the bytes: AB, BA, ABCD, CDAB, BADC, DCBA, ...
  --count N            so many values one after the other
  --json               values as JSON
  -h, --help           this text

Where a gateway runs with the configuration, it reads in between its own polling, so that the line is shared; else the
line is opened for this one read. An address is zero-based (holding:0, input:7, coil:3, holding:7.3) or classic (40001).
Exit codes: 0 all read, 1 some value is bad, 64 usage, 69 no connection, 78 the configuration is wrong.

Example: millrace read press-1/temperature
         millrace read holding:100 --type float32 --order CDAB --count 4 --tcp 192.0.2.10 --unit 1
`;

export const ADDRESS_OPTIONS = {
  unit: { type: "string" },
  type: { type: "string" },
  order: { type: "string" },
  count: { type: "string" },
} as const;

/** `millrace read`. */
export function runRead(args: string[], io: CliIo, tools: LineTools): Promise<number> {
  return asCommand("read", io, async () => {
    const { values, positionals } = parseCommand(args, { ...LINE_OPTIONS, ...ADDRESS_OPTIONS });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    if (positionals.length === 0)
      throw new UsageError("what is to be read? For example: millrace read press-1/temperature");
    try {
      const lines = await linesOf(values, io, tools);
      try {
        return await read(lines, positionals, howOf(values), { json: values.json === true, io });
      } finally {
        await lines.close();
      }
    } catch (error) {
      if (error instanceof UsageError) throw error;
      return failed("read", error, io);
    }
  });
}

/** @throws UsageError. */
export function howOf(values: {
  readonly unit?: string | undefined;
  readonly type?: string | undefined;
  readonly order?: string | undefined;
  readonly count?: string | undefined;
}): AdHoc {
  return {
    unit: countOption("unit", values.unit, 0, 255),
    type: values.type,
    order: values.order?.toUpperCase(),
    count: countOption("count", values.count, 1, 500),
  };
}

interface Row {
  readonly label: string;
  readonly place: Target["places"][number];
  readonly link: string;
  readonly sample: Pick<Sample, "quality" | "value" | "reason">;
  readonly via: string;
}

async function read(
  lines: Lines,
  texts: readonly string[],
  how: AdHoc,
  { json, io }: { readonly json: boolean; readonly io: CliIo },
): Promise<number> {
  const targets = texts.map((text) => lines.target(text, how));
  const rows: Row[] = [];
  for (const target of targets) {
    const access = await lines.access(target.link, io.signal);
    const samples = await access.read(
      { device: target.device, tags: target.places.map(({ errand }) => errand) },
      io.signal,
    );
    for (const [at, place] of target.places.entries()) {
      const sample = samples[at] ?? { quality: "bad", reason: "no answer" };
      rows.push({ label: place.label, place, link: target.link.name, sample, via: access.via });
    }
  }
  if (json) io.out(`${JSON.stringify(rows.map(jsonRow), null, 2)}\n`);
  else io.out(`${table(rows.map(textRow))}\n`);
  return rows.every(({ sample }) => sample.quality === "good") ? EXIT.ok : EXIT.no;
}

function textRow({ label, place, sample }: Row): string[] {
  if (sample.quality !== "good") return [label, "bad", sample.reason ?? ""];
  const unit = place.tag?.unit;
  return [label, `${shown(sample.value)}${unit === undefined ? "" : ` ${unit}`}`, ""];
}

function jsonRow({ label, place, link, sample, via }: Row): Record<string, unknown> {
  const { quality, value, reason } = sample;
  return {
    name: label,
    link,
    via,
    quality,
    ...(value === undefined ? {} : { value: jsonValue(value) }),
    ...(place.tag?.unit === undefined ? {} : { unit: place.tag.unit }),
    ...(reason === undefined ? {} : { reason }),
  };
}
