// What a backlog costs: memory, time to open, rates of append and drain, all against an empty queue; and the disk it
// gives back. Ten million records of 200 bytes, 300,000 with --short; or --records N.
import { cpSync, linkSync, lstatSync, mkdirSync, readdirSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { PAYLOAD, SEGMENT } from "./queue-home.mjs";
import { compare, launch, median, root, scratch, short } from "./support.mjs";

const MIB = 1024 * 1024;
const asked = process.argv.indexOf("--records");
const RECORDS = asked > 0 ? Number(process.argv[asked + 1]) : short ? 300_000 : 10_000_000;
const WORK = short ? 50_000 : 100_000;
/** What one record takes on disk at most, so that a disk that is too small is refused before it is filled. */
const STORED = PAYLOAD + 100;

const RSS_LIMIT_MIB = 60;
const OPEN_LIMIT_MS = 2000;
const RATE_LIMIT = 0.9;
const DISK_LIMIT_MIB = (2 * SEGMENT) / MIB;

async function side(mode, folder, records) {
  const args = ["--expose-gc", join(root, "test/bench/backlog-side.mjs"), mode, folder, String(records)];
  // The threads of a gateway as it is installed, not those of a benchmark of many connections.
  const child = launch(process.execPath, args, { UV_THREADPOOL_SIZE: "4" });
  const line = await child.line(/^result /, 3_600_000);
  await child.exited;
  return JSON.parse(line.slice("result ".length));
}

/** A store of its own for each round: segments are hard links (nothing in them is ever overwritten), state is copied. */
function copyOf(store, to) {
  mkdirSync(to, { recursive: true });
  for (const entry of readdirSync(store, { withFileTypes: true })) {
    const from = join(store, entry.name);
    const into = join(to, entry.name);
    if (entry.isDirectory() && entry.name === "queue") linkTree(from, into);
    else cpSync(from, into, { recursive: true });
  }
}

function linkTree(from, into) {
  mkdirSync(into);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    if (entry.isDirectory()) linkTree(join(from, entry.name), join(into, entry.name));
    else linkSync(join(from, entry.name), join(into, entry.name));
  }
}

/** As `du` counts; without the reserve for a full disk, which is kept whether there is a backlog or not. */
function diskMiB(folder) {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true })) {
    if (entry !== join("queue", "reserve")) bytes += lstatSync(join(folder, entry)).blocks * 512;
  }
  return bytes / MIB;
}

const failures = [];

/** Prints a figure beside its bound. Time is judged in the full run only: a short one shares its machine. */
function judge(what, value, unit, { limit, least = false, timed = false, spread = [] }) {
  const ok = least ? value >= limit : value <= limit;
  const range = spread.length > 1 ? ` (${Math.min(...spread).toFixed(2)} to ${Math.max(...spread).toFixed(2)})` : "";
  const verdict = ok ? "within it" : timed && short ? "not judged in a short run" : "MISSED";
  console.log(`${what}: ${value.toFixed(2)}${unit}${range}, bound ${least ? "≥" : "≤"} ${limit}${unit}: ${verdict}`);
  if (verdict === "MISSED") failures.push(what);
}

/** Runs both sides in turn; `found` gathers what each round measured. */
async function measure(home, full, empty) {
  const found = { full: [], empty: [] };
  const one = (name, store) => async (round) => {
    const folder = join(home, `${name}-${round}`);
    copyOf(store, folder);
    found[name][round] = await side("work", folder, WORK);
    return found[name][round].append;
  };
  const names = [`backlog of ${RECORDS.toLocaleString("en")}`, "empty queue"];
  await compare("append", "records/s", names[0], one("full", full), names[1], one("empty", empty));
  const again = (field) => [
    names[0],
    (round) => found.full[round][field],
    names[1],
    (round) => found.empty[round][field],
  ];
  await compare("drain", "records/s", ...again("drain"));
  await compare("open", "ms", ...again("openMs"));
  for (const field of ["opened", "peak", "collected"]) await compare(`RSS, ${field}`, "MiB", ...again(field));
  return found;
}

export async function run() {
  const scratchFolder = scratch("backlog");
  const home = scratchFolder.path;
  try {
    const { bavail, bsize } = statfsSync(home);
    const needed = RECORDS * STORED + 20 * WORK * STORED;
    if (bavail * bsize < needed) {
      throw new Error(
        `${home} has room for ${Math.round((bavail * bsize) / MIB)} MiB, ${Math.round(needed / MIB)} are needed`,
      );
    }
    const full = join(home, "full");
    const empty = join(home, "empty");
    const filled = await side("fill", full, RECORDS);
    await side("fill", empty, 0);
    const size = diskMiB(full);
    console.log(
      `filled at ${Math.round(filled.rate).toLocaleString("en")} records/s: ${size.toFixed(0)} MiB, ` +
        `${((size * MIB) / RECORDS).toFixed(0)} bytes a record`,
    );
    const found = await measure(home, full, empty);
    const drained = await side("drain", full, RECORDS);
    const left = diskMiB(full);
    console.log(
      `drained whole: ${Math.round(drained.rate).toLocaleString("en")} records/s, RSS at most ${drained.peak.toFixed(0)} MiB, ` +
        `${drained.left} left`,
    );
    const each = (pick) => found.full.map((of, round) => pick(of, found.empty[round]));
    const middle = (what, unit, values, bound) => judge(what, median(values), unit, { ...bound, spread: values });
    const memory = { limit: RSS_LIMIT_MIB };
    middle(
      "RSS after opening, more than empty",
      " MiB",
      each((a, b) => a.opened - b.opened),
      memory,
    );
    middle(
      "RSS at its peak, more than empty",
      " MiB",
      each((a, b) => a.peak - b.peak),
      memory,
    );
    middle(
      "RSS after collection, more than empty",
      " MiB",
      each((a, b) => a.collected - b.collected),
      memory,
    );
    const peak = median(found.empty.map((of) => of.peak));
    judge("RSS at its peak while all is drained, more than empty", drained.peak - peak, " MiB", memory);
    middle(
      "open",
      " ms",
      each((a) => a.openMs),
      { limit: OPEN_LIMIT_MS, timed: true },
    );
    const rate = { limit: RATE_LIMIT, least: true, timed: true };
    middle(
      "append, backlog/empty",
      "",
      each((a, b) => a.append / b.append),
      rate,
    );
    middle(
      "drain, backlog/empty",
      "",
      each((a, b) => a.drain / b.drain),
      rate,
    );
    judge("disk after draining", left, " MiB", { limit: DISK_LIMIT_MIB });
    judge("records left after draining", drained.left, "", { limit: 0 });
  } finally {
    scratchFolder.remove();
  }
  if (failures.length > 0) throw new Error(`missed: ${failures.join(", ")}`);
  return [{ failures }];
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
