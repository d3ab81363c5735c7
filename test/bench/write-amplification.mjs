// What reaches the device of each byte of payload: records of 200 bytes in durable batches of 200, 50 and 1, against bare
// `level` with the same batches; and what a restart, the draining of its backlog and the cursor cost. On a loop device with
// ext4 as it comes, journal on, and then with `fast_commit`. Needs root; without loop devices it is skipped.
import { join } from "node:path";
import { LoopDisk } from "./loop-disk.mjs";
import { PAYLOAD } from "./queue-home.mjs";
import { compare, launch, root, scratch, short } from "./support.mjs";

/** Batch size, how many of them. */
const CASES = [
  { size: 200, batches: short ? 500 : 2000 },
  { size: 50, batches: short ? 600 : 4000 },
  { size: 1, batches: short ? 1000 : 5000 },
];
const PER_BYTE = 1.6;
const PER_FSYNC_KB = 9.5;
/** Our records are longer than the bare payload, by what they say about themselves. */
const TO_LEVEL = 1.25;
const PACED_SECONDS = short ? 3 : 20;
const DAY_S = 86_400;
/** Rounds differ by when the journal comes round, and by little else. */
const ROUNDS = short ? 1 : 3;

async function side(disk, mode, ...args) {
  const file = join(root, "test/bench/write-amplification-side.mjs");
  const child = launch(process.execPath, [file, mode, disk.path, ...args.map(String)], { UV_THREADPOOL_SIZE: "4" });
  await child.line(/^done/, 600_000);
  await child.exited;
}

/** Bytes written by `batches` of `size`, into a store that was made before. */
async function appended(disk, mode, { size, batches }, features) {
  disk.format(features);
  await disk.written(() => side(disk, mode, 0, size));
  return await disk.written(() => side(disk, mode, size * batches, size));
}

const failures = [];
function judge(what, value, unit, limit) {
  const ok = value <= limit;
  console.log(`${what}: ${value.toFixed(2)}${unit}, bound ≤ ${limit}${unit}: ${ok ? "within it" : "MISSED"}`);
  if (!ok) failures.push(what);
}

const payloadOf = ({ size, batches }) => size * batches * PAYLOAD;

async function batchesOf(disk, one) {
  const single = one.size === 1;
  const of = (bytes) => bytes / (single ? one.batches : payloadOf(one));
  const found = await compare(
    `written, batches of ${one.size}`,
    single ? "bytes an fsync" : "bytes a payload byte",
    "millrace",
    async () => of(await appended(disk, "queue", one)),
    "bare level",
    async () => of(await appended(disk, "level", one)),
    ROUNDS,
  );
  judge(`written, batches of ${one.size}, millrace/bare level`, found.ratio, "", TO_LEVEL);
  if (single) judge("written an fsync, batches of 1", found.a / 1000, " KB", PER_FSYNC_KB);
  // A journal alone costs bare level more than that: 12 to 20 KB for each fsync of a file that has grown.
  else if (one.size === 200)
    console.log(
      `written a payload byte, batches of 200: ${found.a.toFixed(2)}, target ≤ ${PER_BYTE}: ` +
        `${found.a <= PER_BYTE ? "within it" : `missed, by bare level ${found.b <= PER_BYTE ? "not" : "too"}`}`,
    );
}

/** The same with a journal that writes less. */
async function fastCommit(disk) {
  try {
    disk.format("fast_commit");
  } catch (error) {
    console.log(`fast_commit: not known here (${error.message.split("\n")[0]})`);
    return;
  }
  for (const one of CASES) {
    const bytes = await appended(disk, "queue", one, "fast_commit");
    const name = `with fast_commit, batches of ${one.size}`;
    if (one.size === 1) judge(`${name}: written an fsync`, bytes / one.batches / 1000, " KB", PER_FSYNC_KB);
    else if (one.size === 200) judge(`${name}: written a payload byte`, bytes / payloadOf(one), "", PER_BYTE);
    else console.log(`${name}: written a payload byte: ${(bytes / payloadOf(one)).toFixed(2)}`);
  }
}

/** A restart over a backlog that is on disk, and the draining of it. */
async function restart(disk) {
  const [one] = CASES;
  const records = one.size * one.batches;
  await appended(disk, "queue", one);
  const idle = await disk.written(() => {});
  const opened = (await disk.written(() => side(disk, "drain", 0))) - idle;
  const drained = (await disk.written(() => side(disk, "drain", records))) - idle;
  const share = (bytes) => `${(bytes / 1000).toFixed(0)} KB, ${(bytes / payloadOf(one)).toFixed(4)} a payload byte`;
  console.log(`restart over ${records.toLocaleString("en")} records, opened and closed: ${share(opened)}`);
  console.log(`restart, all read, settled and removed: ${share(drained)}`);
  return opened;
}

/** What the cursor adds: polled telemetry with the default sync, with and without an uplink that takes it. */
async function cursor(disk, opened) {
  const bytes = {};
  for (const mode of ["paced", "paced-drain"]) {
    disk.format();
    await disk.written(() => side(disk, "drain", 0));
    bytes[mode] = ((await disk.written(() => side(disk, mode, PACED_SECONDS))) - opened) / PACED_SECONDS;
  }
  const show = (rate) => `${(rate / 1000).toFixed(1)} KB/s, ${((rate * DAY_S) / 1e9).toFixed(2)} GB a day`;
  console.log(`200 records/s of telemetry in ten writes, sync 1s, not read: ${show(bytes.paced)}`);
  console.log(`the same, read and settled at once: ${show(bytes["paced-drain"])}`);
  console.log(`so the cursor: ${show(bytes["paced-drain"] - bytes.paced)}`);
}

/** @returns {Promise<"skipped" | object[]>} */
export async function run() {
  const home = scratch("writes");
  let disk;
  try {
    disk = new LoopDisk(home.path);
  } catch (error) {
    home.remove();
    console.log(`skipped: no loop device with ext4 here (${error.message.split("\n")[0]})`);
    return "skipped";
  }
  try {
    for (const one of CASES) await batchesOf(disk, one);
    await fastCommit(disk);
    await cursor(disk, await restart(disk));
  } finally {
    disk.remove();
    home.remove();
  }
  if (failures.length > 0) throw new Error(`missed: ${failures.join(", ")}`);
  return [{ failures }];
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
