import { parseArgs } from "node:util";
import { originCrc } from "./crc.ts";
import { LevelSegments } from "./level-segments.ts";

/** A program of its own: reads all of one segment, and ends with exit code 0 when it lives to tell (`probe.ts`). */

const RECORDS = 4096;
const BYTES = 1024 * 1024;

const { values } = parseArgs({ options: { folder: { type: "string" } } });
const folder = values.folder ?? "";
const engine = new LevelSegments(0);
const header = await engine.header(folder);
const open = await engine.open(folder, header ? originCrc(header) : 0);
for (let next = 0; ; ) {
  const records = await open.read(next, Number.MAX_SAFE_INTEGER, RECORDS, BYTES);
  const last = records.at(-1);
  if (!last) break;
  next = last.seq + 1;
}
await open.close();
