import type { Device, Tag, TagWrite, WriteResult } from "../core/driver.ts";
import { UncertainWriteError } from "../core/driver.ts";
import { checkWrite, type ErrandDevice, type ErrandTag, limitsOf, resolveErrand } from "../core/errand.ts";
import { messageOf, RejectedError } from "../core/errors.ts";
import type { Sample } from "../core/sample.ts";
import { asCommand, type CliIo, EXIT, parseCommand, UsageError } from "./io.ts";
import type { LineAccess } from "./line/access.ts";
import { type Assignment, assignmentsIn, valueFor } from "./line/assignment.ts";
import type { LineLink } from "./line/direct.ts";
import { failed } from "./line/fail.ts";
import { type AdHoc, type Lines, linesOf } from "./line/lines.ts";
import { LINE_HELP, LINE_OPTIONS } from "./line/options.ts";
import { jsonValue, shown } from "./line/show.ts";
import type { LineTools } from "./line/tools.ts";
import { howOf } from "./read.ts";
import { table } from "./table.ts";

const HELP = `millrace write - write tags or addresses, and read them back

Usage: millrace write DEVICE/TAG=VALUE... [--yes] [--config FILE]
       millrace write ADDRESS=VALUE... --unit N (--tcp HOST | --rtu PATH) [--type T] [--order O]

${LINE_HELP}
  --unit N             unit id, for addresses
  --type T, --order O  what an address holds: uint16 (default), float32 with CDAB, ...
  -y, --yes            do not ask first (a terminal is asked)
  --json               before and after as JSON
  -h, --help           this text

Through a configuration only tags marked writable are written, within their min, max and maxStep. Where a gateway runs with
it, the gateway writes, before its next read, and logs who did it; else the line is opened for this one write.
What was written is read back. A write that nobody confirmed may have been done: it is never sent again by itself.
Exit codes: 0 written and read back, 1 refused or read back as another value, 64 usage, 69 no connection (not written),
74 not known whether it was written, 78 the configuration is wrong.

Example: millrace write press-1/setpoint=42
         millrace write holding:10=-5 --type int16 --tcp 192.0.2.10 --unit 1
`;

interface Place {
  readonly link: LineLink;
  readonly device: Device;
  readonly tag: Tag;
  readonly label: string;
  /** The same as it is asked for. */
  readonly ask: { readonly device: ErrandDevice; readonly tag: ErrandTag };
}

interface Planned extends Pick<Place, "link" | "device"> {
  readonly ask: ErrandDevice;
  readonly writes: TagWrite[];
  readonly labels: string[];
  readonly tags: ErrandTag[];
}

interface Row {
  readonly label: string;
  readonly link: string;
  readonly via: LineAccess["via"];
  readonly unit: string | undefined;
  readonly result: WriteResult;
}

/** `millrace write`. */
export function runWrite(args: string[], io: CliIo, tools: LineTools): Promise<number> {
  return asCommand("write", io, async () => {
    const { values, positionals } = parseCommand(args, {
      ...LINE_OPTIONS,
      unit: { type: "string" },
      type: { type: "string" },
      order: { type: "string" },
      yes: { type: "boolean", short: "y" },
    });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const assignments = assignmentsIn(positionals);
    try {
      const lines = await linesOf(values, io, tools);
      try {
        const planned = plan(lines, assignments, howOf(values));
        return await write(lines, planned, { json: values.json === true, yes: values.yes === true, io });
      } finally {
        await lines.close();
      }
    } catch (error) {
      if (error instanceof UsageError) throw error;
      return failed("write", error, io);
    }
  });
}

/** What is written to which device, in the order given. @throws UsageError, RejectedError, ConfigError. */
function plan(lines: Lines, assignments: readonly Assignment[], how: AdHoc): Planned[] {
  const planned: Planned[] = [];
  for (const { what, value } of assignments) {
    const { link, device, tag, label, ask } = place(lines, what, how);
    const write = { tag, value: valueFor({ name: label, type: tag.type }, value) };
    const last = planned.at(-1);
    if (last && last.device.name === device.name && last.link === link) {
      last.writes.push(write);
      last.labels.push(label);
      last.tags.push(ask.tag);
    } else planned.push({ link, device, writes: [write], labels: [label], ask: ask.device, tags: [ask.tag] });
  }
  return planned;
}

function place(lines: Lines, what: string, how: AdHoc): Place {
  const target = lines.target(what, how);
  const [only, ...more] = target.places;
  if (!only || more.length > 0)
    throw new UsageError(`${what} is a whole device: name one tag, such as ${what}/setpoint`);
  const { link } = target;
  if (target.configured && only.tag) {
    if (limitsOf(link.driver, only.tag) === undefined) {
      const file = lines.config?.file ?? "the configuration";
      throw new RejectedError(`${only.label} is not marked writable; add "writable: true" to the tag in ${file}`);
    }
    const ask = { device: target.device, tag: only.errand };
    return { link, device: target.configured, tag: only.tag, label: only.label, ask };
  }
  if (!lines.isAdHoc) {
    throw new RejectedError(
      `${only.label} is not a tag: through a configuration only tags marked writable are written. ` +
        "Add a tag, or name the line itself with --tcp or --rtu",
    );
  }
  const { errand } = only;
  if (typeof errand === "string") throw new TypeError("an address without options");
  const writable = { name: errand.name, options: { ...errand.options, writable: true } };
  const { device, tags } = resolveErrand({ device: target.device, tags: [writable] }, link);
  const [tag] = tags;
  if (!tag) throw new TypeError("a tag was not resolved");
  return { link, device, tag, label: only.label, ask: { device: target.device, tag: errand } };
}

async function write(
  lines: Lines,
  planned: readonly Planned[],
  { json, yes, io }: { readonly json: boolean; readonly yes: boolean; readonly io: CliIo },
): Promise<number> {
  const rows: Row[] = [];
  const { signal } = io;
  const todo: { readonly one: Planned; readonly access: LineAccess }[] = [];
  for (const one of planned) {
    const access = await lines.access(one.link, signal);
    // Where what the device holds cannot be read, the write may still be possible.
    const present = await access.read({ device: one.ask, tags: one.tags }, signal);
    for (const each of one.writes) checkWrite(one.device, each, limitsOf(one.link.driver, each.tag), present);
    if (!yes && io.answerTo)
      for (const [at, each] of one.writes.entries()) io.err(`${intent(one, each, at, present)}\n`);
    todo.push({ one, access });
  }
  if (!yes && io.answerTo && !/^y(es)?$/i.test((await io.answerTo("Write? [y/N] ")).trim())) {
    io.err("millrace write: nothing was written\n");
    return EXIT.no;
  }
  signal.throwIfAborted();
  for (const { one, access } of todo) {
    const results = await access.write(one.device, one.writes, signal).catch((error: unknown) => {
      if (rows.length > 0) show(rows, json, io);
      throw error instanceof UncertainWriteError ? uncertain(error, one) : error;
    });
    for (const [at, result] of results.entries()) {
      const { via } = access;
      rows.push({
        label: one.labels[at] ?? result.tag,
        link: one.link.name,
        via,
        unit: one.writes[at]?.tag.unit,
        result,
      });
    }
  }
  show(rows, json, io);
  return rows.every(({ result }) => result.ok) ? EXIT.ok : EXIT.no;
}

function uncertain(error: UncertainWriteError, { labels }: Planned): UncertainWriteError {
  const cause = error.cause === undefined ? "" : ` (${messageOf(error.cause)})`;
  return new UncertainWriteError(
    `${error.message}${cause}. It is not sent again by itself: read ${labels.join(" and ")} before you write again`,
    { cause: error },
  );
}

type Present = Awaited<ReturnType<LineAccess["read"]>>;

function intent({ labels }: Planned, { tag, value }: TagWrite, at: number, present: Present): string {
  const before = present.find((sample) => sample.tag === tag.name);
  return `${labels[at]}: ${beforeText(before)} -> ${shown(value)}${tag.unit === undefined ? "" : ` ${tag.unit}`}`;
}

function beforeText(sample: Pick<Sample, "quality" | "value" | "reason"> | undefined): string {
  if (sample?.quality === "good") return shown(sample.value);
  return `(not readable: ${sample?.reason ?? "no answer"})`;
}

function show(rows: readonly Row[], json: boolean, io: CliIo): void {
  if (json) {
    io.out(`${JSON.stringify(rows.map(jsonRow), null, 2)}\n`);
    return;
  }
  io.out(`${table(rows.map(textRow))}\n`);
}

function textRow({ label, unit, result: { ok, reason, before, after } }: Row): string[] {
  const change = `${shown(before)} -> ${shown(after)}${unit === undefined ? "" : ` ${unit}`}`;
  if (ok) return [label, change, after === undefined ? "written, not read back" : "written and read back"];
  return [
    label,
    before === undefined && after === undefined ? "" : change,
    `NOT written as asked: ${reason ?? "refused"}`,
  ];
}

function jsonRow({ label, link, via, result: { ok, reason, before, after } }: Row): Record<string, unknown> {
  return {
    name: label,
    link,
    via,
    ok,
    ...(before === undefined ? {} : { before: jsonValue(before) }),
    ...(after === undefined ? {} : { after: jsonValue(after) }),
    ...(reason === undefined ? {} : { reason }),
  };
}
