import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { STREAMS } from "../core/record.ts";
import { originCrc } from "./crc.ts";
import { namesIn } from "./files.ts";
import type { Folders, FoundFolder } from "./folders.ts";
import { type Identity, readIdentity } from "./identity.ts";
import { FORMAT, NewerFormatError } from "./meta.ts";
import { RecordReader } from "./record.ts";
import { sealFormat } from "./seal.ts";
import type { SegmentStore } from "./segment-store.ts";
import { contentIn } from "./two-slot.ts";

/** Records of a segment without a header that are looked at before it is touched. */
const FEW = 16;

/**
 * Looks at everything that names a format, and changes nothing: the identity, the state files, the seals, and of what
 * was not sealed the header and the first records.
 * @throws ConfigError when any of it is of a newer version. What is damaged is no newer version.
 */
export async function refuseNewer(folders: Folders, engine: SegmentStore): Promise<void> {
  const { dataDir } = folders;
  try {
    const identity = await readIdentity(dataDir);
    for (const name of await namesIn(join(dataDir, "state"))) await checkState(join(dataDir, "state", name));
    for (const stream of STREAMS) {
      for (const found of await folders.segments(stream)) await checkSegment(found, engine, identity?.identity);
    }
  } catch (error) {
    if (error instanceof NewerFormatError) {
      throw new ConfigError(
        `the data folder ${dataDir} was written by a newer version: it has format ${error.format} (${error.where ?? "a record"}), this version reads up to ${FORMAT}; nothing was changed`,
        { cause: error },
      );
    }
    // Whatever else is wrong shows when it is opened.
  }
}

async function checkState(path: string): Promise<void> {
  const bytes = await readFile(path).catch(() => undefined);
  const content = bytes && contentIn(bytes);
  if (typeof content !== "object" || content === null || !("format" in content)) return;
  refuse(content.format, path);
}

async function checkSegment({ folder }: FoundFolder, engine: SegmentStore, identity?: Identity): Promise<void> {
  const sealed = await sealFormat(folder);
  if (sealed !== undefined) return refuse(sealed, join(folder, "SEAL.json"));
  try {
    if ((await engine.header(folder)) || !identity) return;
    const stream = STREAMS.find((name) => name === basename(dirname(folder)));
    if (!stream) return;
    await checkRecords(folder, engine, originCrc({ ...identity, stream }));
  } catch (error) {
    if (error instanceof NewerFormatError) throw new NewerFormatError(error.format, folder);
    // Not to be read now, or damaged: that is told later.
  }
}

async function checkRecords(folder: string, engine: SegmentStore, base: number): Promise<void> {
  const open = await engine.open(folder, base);
  const record = new RecordReader();
  try {
    for (const { seq, value } of await open.read(0, Number.MAX_SAFE_INTEGER, FEW, 64 * 1024)) {
      record.openIfWhole(base, seq, value);
    }
  } finally {
    await open.close();
  }
}

function refuse(format: unknown, where: string): void {
  if (typeof format === "number" && format > FORMAT) throw new NewerFormatError(format, where);
}
