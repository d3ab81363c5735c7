import { formatDuration } from "../core/options/units.ts";
import { asCommand, type CliIo, durationOption, EXIT, parseCommand, UsageError } from "./io.ts";
import { failed } from "./line/fail.ts";
import { type Lines, linesOf } from "./line/lines.ts";
import { countOption, LINE_HELP, LINE_OPTIONS } from "./line/options.ts";
import { configLine, fits, nameOf, scaleOf, valuesText } from "./line/ranking.ts";
import { type Place, registersAt, samplesOf } from "./line/registers.ts";
import { jsonValue } from "./line/show.ts";
import type { Around, Candidate, LineTools } from "./line/tools.ts";
import { Progress } from "./queue/progress.ts";
import { table } from "./table.ts";

const HELP = `millrace guess - find type and byte order of an address

Usage: millrace guess ADDRESS --unit N (--link NAME | --tcp HOST | --rtu PATH) [--expect VALUE]
       millrace guess DEVICE/ADDRESS [--expect VALUE] [--config FILE]

${LINE_HELP}
  --unit N               unit id
  --expect VALUE         what the device's display or its software shows: 231.5, or a text
  --expect-unit-scale    it may be shown in another unit: powers of ten from -6 to 6 are tried (without: -3 to 0)
  --samples N            how often the registers are read (default 5)
  --interval TIME        time between two reads (default 1s)
  --count N              registers to look at, 1 to 125 (default: 16, or as many as there are)
  --top N                candidates to show (default 5)
  --json                 all of them, as JSON
  -h, --help             this text

Every type and order is tried. With --expect they are ranked by how near they come; without, by what values of plants look
like: usual magnitudes, few decimals, slow change, counters. What cannot be told apart is one candidate. More samples of a
value that moves tell more. Where the address is refused or does not fit, its neighbours are tried too.
Exit codes: 0 candidates, 1 the address is refused or nothing fits the expected value, 64 usage, 69 no connection.

Example: millrace guess holding:100 --unit 3 --tcp 192.0.2.10 --expect 231.5
`;

interface How {
  readonly expect: string | undefined;
  readonly allPowers: boolean;
  readonly samples: number;
  readonly intervalMs: number;
  readonly most: number;
  readonly top: number;
  readonly json: boolean;
}

/** A neighbour that can be read. */
interface Neighbour {
  readonly address: string;
  readonly what: string;
  readonly best: Candidate | undefined;
  readonly fits: boolean;
}

/** `millrace guess`. */
export function runGuess(args: string[], io: CliIo, tools: LineTools): Promise<number> {
  return asCommand("guess", io, async () => {
    const { values, positionals } = parseCommand(negatives(args), {
      ...LINE_OPTIONS,
      unit: { type: "string" },
      expect: { type: "string" },
      "expect-unit-scale": { type: "boolean" },
      samples: { type: "string" },
      interval: { type: "string" },
      count: { type: "string" },
      top: { type: "string" },
    });
    if (values.help) {
      io.out(HELP);
      return EXIT.ok;
    }
    const [text, ...more] = positionals;
    if (text === undefined || more.length > 0)
      throw new UsageError("give one address, such as holding:100 or press-1/holding:100");
    const how: How = {
      expect: values.expect,
      allPowers: values["expect-unit-scale"] === true,
      samples: countOption("samples", values.samples, 1, 1000) ?? 5,
      intervalMs: durationOption("interval", values.interval) ?? 1000,
      most: countOption("count", values.count, 1, 125) ?? 16,
      top: countOption("top", values.top, 1, 100) ?? 5,
      json: values.json === true,
    };
    const unit = countOption("unit", values.unit, 0, 255);
    try {
      const lines = await linesOf(values, io, tools);
      try {
        return await guess(lines, { text, unit }, how, { io, tools });
      } finally {
        await lines.close();
      }
    } catch (error) {
      if (error instanceof UsageError) throw error;
      return failed("guess", error, io);
    }
  });
}

/** `--expect -12.5` is a value, not an option. */
function negatives(args: readonly string[]): string[] {
  const joined: string[] = [];
  for (const arg of args) {
    if (joined.at(-1) === "--expect" && /^-[\d.]/.test(arg)) joined[joined.length - 1] = `--expect=${arg}`;
    else joined.push(arg);
  }
  return joined;
}

interface World {
  readonly io: CliIo;
  readonly tools: LineTools;
}

async function guess(
  lines: Lines,
  { text, unit }: { readonly text: string; readonly unit: number | undefined },
  how: How,
  { io, tools }: World,
): Promise<number> {
  const target = lines.target(text, { unit, type: undefined, order: undefined, count: undefined });
  const address = addressOf(target.places, text, tools);
  const around = tools.placesAround(address);
  if (!around.neighbours) throw new UsageError(`${address} is one bit: its type is bool, there is nothing to guess`);
  const access = await lines.access(target.link, io.signal);
  const place: Place = { access, device: target.device };
  const from = `${around.area}:${around.index}`;
  const first = await registersAt(place, around, how.most, io.signal);
  if ("reason" in first) {
    const neighbours = first.silent ? [] : await look(place, around, how, { io, tools });
    return refused(from, first, neighbours, how, io);
  }
  const progress = new Progress(io, (amount) => `sample ${amount}`);
  if (!how.json && how.samples > 1)
    io.err(`${how.samples} samples of ${first.words.length} registers, ${formatDuration(how.intervalMs)} apart\n`);
  const samples = await samplesOf(
    (most) => registersAt(place, around, most, io.signal),
    first.words,
    { samples: how.samples, intervalMs: how.intervalMs, signal: io.signal },
    (done) => progress.at(done, how.samples),
  ).finally(() => progress.end());
  const candidates = tools.rank(samples, rankOptions(how));
  const [best] = candidates;
  const found = best !== undefined && (how.expect === undefined || fits(best));
  const neighbours = found ? [] : await look(place, around, how, { io, tools });
  if (how.json) io.out(`${JSON.stringify(jsonOf(from, samples, candidates, neighbours, { how, found }), null, 2)}\n`);
  else io.out(report(from, samples, candidates, neighbours, { how, found }));
  return found ? EXIT.ok : EXIT.no;
}

/** The address that was written, or that of the tag that was named. */
function addressOf(places: ReturnType<Lines["target"]>["places"], text: string, tools: LineTools): string {
  const [only, ...more] = places;
  if (!only || more.length > 0)
    throw new UsageError(`${text} is a whole device: add an address, such as ${text}/holding:0`);
  const { errand, tag } = only;
  if (typeof errand !== "string") return errand.name;
  const options = tag?.options;
  const address =
    typeof options === "object" && options !== null && "address" in options ? String(options.address) : "";
  if (!tools.isAddress(address)) throw new UsageError(`${text} has no address of registers`);
  return address;
}

function rankOptions({ expect, allPowers }: How) {
  return { allPowers, ...(expect === undefined ? {} : { expect }) };
}

/** Manuals count from 0 or 1, and mix up the kinds: what the places around hold. */
async function look(place: Place, { neighbours = [] }: Around, how: How, { io, tools }: World): Promise<Neighbour[]> {
  const found: Neighbour[] = [];
  for (const each of neighbours) {
    const words = await registersAt(place, each, Math.min(how.most, 16), io.signal);
    if ("reason" in words) {
      if (words.silent) break;
      continue;
    }
    const [best] = tools.rank([words.words], rankOptions(how));
    found.push({
      address: `${each.area}:${each.index}`,
      what: each.what,
      best,
      fits: best !== undefined && how.expect !== undefined && fits(best),
    });
  }
  return found;
}

function refused(
  address: string,
  { reason, silent }: { readonly reason: string; readonly silent: boolean },
  neighbours: readonly Neighbour[],
  how: How,
  io: CliIo,
): number {
  if (how.json)
    io.out(
      `${JSON.stringify({ address, refused: reason, silent, candidates: [], neighbours: neighbours.map(jsonNeighbour) }, null, 2)}\n`,
    );
  else if (silent) io.err(`millrace guess: ${reason}. Which units there are shows: millrace scan\n`);
  else io.err(`millrace guess: the unit refuses ${address}: ${reason}\n${neighbourText(neighbours, how)}`);
  return silent ? EXIT.unavailable : EXIT.no;
}

interface Verdict {
  readonly how: How;
  readonly found: boolean;
}

function report(
  address: string,
  samples: readonly (readonly number[])[],
  candidates: readonly Candidate[],
  neighbours: readonly Neighbour[],
  { how, found }: Verdict,
): string {
  const { expect, top } = how;
  const words = (samples.at(-1) ?? []).slice(0, 8).map((word) => word.toString(16).padStart(4, "0"));
  const head = `${address}  ${words.join(" ")}  (the last of ${samples.length} samples, hex)\n\n`;
  const rows = candidates.slice(0, top).map((candidate, at) => {
    const scale = scaleOf(candidate);
    const off = candidate.fit ? offText(candidate.fit) : "";
    return [
      `${at + 1}.`,
      nameOf(candidate),
      scale === undefined ? "" : `x ${scale}`,
      valuesText(candidate),
      off,
      candidate.why.join(", "),
    ];
  });
  const [best] = candidates;
  const still = samples.length > 1 && new Set(samples.map((sample) => sample.slice(0, 4).join(" "))).size === 1;
  const note =
    still && expect === undefined
      ? "\nNothing moved between the samples: --expect VALUE, or more time, tells more.\n"
      : "";
  const misfit = found ? "" : `\nNothing here fits ${expect}.\n${neighbourText(neighbours, how)}`;
  return `${head}${table(rows)}\n${note}${misfit}${found && best ? `\n${configLine(best, address)}\n` : ""}`;
}

function offText({ distance, exact }: NonNullable<Candidate["fit"]>): string {
  if (exact) return "fits";
  return distance > 0.5 ? "far off" : `${(100 * distance).toPrecision(2)} % off`;
}

function neighbourText(neighbours: readonly Neighbour[], { expect }: How): string {
  if (neighbours.length === 0)
    return "The places around it are refused too. Which ones exist is in the manual of the device.\n";
  const good = expect === undefined ? neighbours : neighbours.filter((each) => each.fits);
  if (good.length === 0)
    return "Nor do the places around it: check the value, the unit id and the manual; --expect-unit-scale tries other units.\n";
  const lines = good.flatMap(({ address, what, best }) => {
    if (!best) return [];
    const verb = expect === undefined ? "can be read" : "fits";
    return [`${address} (${what}) ${verb}: ${nameOf(best)} ${valuesText(best)}\n  ${configLine(best, address)}\n`];
  });
  return `${lines.join("")}`;
}

function jsonOf(
  address: string,
  samples: readonly (readonly number[])[],
  candidates: readonly Candidate[],
  neighbours: readonly Neighbour[],
  { how, found }: Verdict,
): Record<string, unknown> {
  return {
    address,
    found,
    ...(how.expect === undefined ? {} : { expect: how.expect }),
    samples,
    candidates: candidates.map((candidate, at) => jsonCandidate(candidate, at, address)),
    ...(neighbours.length === 0 ? {} : { neighbours: neighbours.map(jsonNeighbour) }),
  };
}

function jsonCandidate(candidate: Candidate, at: number, address: string): Record<string, unknown> {
  const { same, values, bits, fit, why } = candidate;
  const [first] = same;
  return {
    rank: at + 1,
    type: first?.type,
    order: first?.order,
    ...(first?.bit === undefined ? {} : { bit: first.bit }),
    ...(scaleOf(candidate) === undefined ? {} : { scale: scaleOf(candidate) }),
    same,
    values: values.map(jsonValue),
    ...(fit === undefined ? {} : { distance: fit.distance, exact: fit.exact }),
    bits: Number(bits.toFixed(1)),
    why,
    config: configLine(candidate, address),
  };
}

function jsonNeighbour({ address, what, best, fits: fit }: Neighbour): Record<string, unknown> {
  return { address, what, fits: fit, ...(best && { best: jsonCandidate(best, 0, address) }) };
}
