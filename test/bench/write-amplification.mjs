// What reaches the device of each byte of payload: records of 200 bytes in durable batches of 200, 50 and 1, against bare
// `level` with the same batches; and what a restart, the draining of its backlog and the cursor cost. On a loop device with
// ext4 as it comes, journal on. Needs root; without loop devices it is skipped.
import { join } from "node:path";
import { LoopDisk } from "./loop-disk.mjs";
import { PAYLOAD } from "./queue-home.mjs";
import { compare, launch, root, rounds, scratch, short } from "./support.mjs";

/** Batch size, batches of it, and its bound: bytes per payload byte, or per fsync. */
const CASES = [
  { size: 200, batches: short ? 500 : 2000, perByte: 1.6 },
  { size: 50, batches: short ? 600 : 4000, perByte: 2.5 },
  { size: 1, batches: short ? 1000 : 5000, perFsync: 9500 },
];
const PACED_SECONDS = short ? 3 : 20;
const DAY_S = 86_400;
/** Rounds show nothing but how often the journal came round: what is written hardly varies. */
const ROUNDS = short ? 1 : Math.min(3, rounds);

async function side(disk, mode, ...args) {
  const file = join(root, "test/bench/write-amplification-side.mjs");
  const child = launch(process.execPath, [file, mode, disk.path, ...args.map(String)], { UV_THREADPOOL_SIZE: "4" });
  await child.line(/^done/, 600_000);
  await child.exited;
}

/** Bytes written by `batches` of `size`, into a store that was made before. */
async function appended(disk, mode, { size, batches }) {
  disk.unmount();
  disk.format();
  await disk.written(() => side(disk, mode, 0, size));
  return await disk.written(() => side(disk, mode, size * batches, size));
}

const failures = [];
function judge(what, value, unit, limit) {
  const ok = value <= limit;
  console.log(`${what}: ${value.toFixed(2)}${unit}, bound ≤ ${limit}${unit}: ${ok ? "within it" : "MISSED"}`);
  if (!ok) failures.push(what);
}

async function batchesOf(disk, { size, batches, perByte, perFsync }) {
  const unit = perByte ? "bytes a payload byte" : "bytes an fsync";
  const of = (bytes) => bytes / (perByte ? size * batches * PAYLOAD : batches);
  const found = await compare(
    `written, batches of ${size}`,
    unit,
    "millrace",
    async () => of(await appended(disk, "queue", { size, batches })),
    "bare level",
    async () => of(await appended(disk, "level", { size, batches })),
    ROUNDS,
  );
  if (perByte) judge(`written per payload byte, batches of ${size}`, found.a, "", perByte);
  else judge(`written per fsync, batches of ${size}`, found.a / 1000, " KB", perFsync / 1000);
}

/** A restart over a backlog that is on disk, and the draining of it. */
async function restart(disk) {
  const { size, batches } = CASES[0];
  const records = size * batches;
  await appended(disk, "queue", { size, batches });
  const idle = await disk.written(() => {});
  const opened = await disk.written(() => side(disk, "drain", 0));
  const drained = await disk.written(() => side(disk, "drain", records));
  const payload = records * PAYLOAD;
  const share = (bytes) => `${(bytes / 1000).toFixed(0)} KB, ${(bytes / payload).toFixed(4)} a payload byte`;
  console.log(`mount and unmount alone: ${(idle / 1000).toFixed(0)} KB (in each figure here)`);
  console.log(`restart over ${records.toLocaleString("en")} records, opened and closed: ${share(opened)}`);
  console.log(`restart, all read, settled and removed: ${share(drained)}`);
}

/** What the cursor adds: polled telemetry with the default sync, with and without an uplink that takes it. */
async function cursor(disk) {
  const bytes = {};
  for (const mode of ["paced", "paced-drain"]) {
    disk.unmount();
    disk.format();
    await disk.written(() => side(disk, "drain", 0));
    bytes[mode] = (await disk.written(() => side(disk, mode, PACED_SECONDS))) / PACED_SECONDS;
  }
  const show = (rate) => `${(rate / 1000).toFixed(1)} KB/s, ${((rate * DAY_S) / 1e9).toFixed(2)} GB a day`;
  console.log(`200 records/s of telemetry, sync 1s, not read: ${show(bytes.paced)}`);
  console.log(`the same, read and settled at once: ${show(bytes["paced-drain"])}`);
  console.log(`so the cursor: ${show(bytes["paced-drain"] - bytes.paced)}`);
}

export async function run() {
  const home = scratch("writes");
  let disk;
  try {
    disk = new LoopDisk(home.path);
  } catch (error) {
    home.remove();
    console.log(`skipped: no loop device with ext4 here (${error.message.split("\n")[0]})`);
    return [];
  }
  try {
    for (const one of CASES) await batchesOf(disk, one);
    await restart(disk);
    await cursor(disk);
  } finally {
    disk.remove();
    home.remove();
  }
  if (failures.length > 0) throw new Error(`missed: ${failures.join(", ")}`);
  return [{ failures }];
}
if (process.argv[1] === new URL(import.meta.url).pathname) await run();
