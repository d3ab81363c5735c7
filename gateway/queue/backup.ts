import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { ConfigError } from "../core/errors.ts";
import type { Snapshot } from "../core/inspect.ts";
import { linkOrCopy } from "./aside.ts";
import { errorCode, namesIn, removeFolder, replaceFile, syncFolder } from "./files.ts";

export const MANIFEST = "manifest.json";
const FORMAT = 1;

const streamSummary = z.object({ records: z.number(), from: z.number(), to: z.number() });
const manifest = z.object({
  format: z.number(),
  created: z.number(),
  store: z.string(),
  epoch: z.number(),
  streams: z.object({ events: streamSummary, telemetry: streamSummary }),
  uplinks: z.array(z.object({ name: z.string(), owed: z.number() })),
  files: z.array(
    z.object({
      // Never out of the folder.
      path: z.string().regex(/^(queue|state)(\/(?!\.\.?(\/|$))[^/\0]+)+$/),
      bytes: z.number(),
      sha256: z.string(),
    }),
  ),
});
export type BackupManifest = z.infer<typeof manifest>;

/** Called with what was done of how many bytes. */
export type OnProgress = (done: number, total: number) => void;

/**
 * Puts a snapshot into a folder that does not exist yet or is empty: every file linked, or copied where that is not
 * possible, and last the manifest with their checksums. Without a manifest it is no backup.
 * @throws ConfigError when something is in the folder; `signal.reason`, and then nothing is left in it.
 */
export async function writeBackup(
  snapshot: Omit<Snapshot, "close">,
  dir: string,
  onProgress: OnProgress,
  signal: AbortSignal,
): Promise<BackupManifest> {
  await mkdir(dir, { recursive: true });
  if ((await readdir(dir)).length > 0) throw new ConfigError(`${dir} is not empty; name a folder that is`);
  try {
    const { folder, store, epoch, streams, uplinks } = snapshot;
    const found = await filesBelow(folder);
    const total = found.reduce((sum, { bytes }) => sum + bytes, 0);
    const files: BackupManifest["files"] = [];
    let done = 0;
    for (const { path, bytes } of found) {
      signal.throwIfAborted();
      const to = join(dir, path);
      await mkdir(dirname(to), { recursive: true });
      await linkOrCopy(join(folder, path), to);
      files.push({ path, bytes, sha256: await synced(to) });
      done += bytes;
      onProgress(done, total);
    }
    await syncBelow(dir);
    const made = { format: FORMAT, created: Date.now(), store, epoch, streams, uplinks: [...uplinks], files };
    await replaceFile(join(dir, MANIFEST), `${JSON.stringify(made, null, 1)}\n`);
    return made;
  } catch (error) {
    for (const name of await namesIn(dir)) await removeFolder(join(dir, name)).catch(() => {});
    throw error;
  }
}

/** @throws ConfigError when the folder holds no backup that this version can read. */
export async function readManifest(dir: string): Promise<BackupManifest> {
  let found: unknown;
  try {
    found = JSON.parse(await readFile(join(dir, MANIFEST), "utf8"));
  } catch (error) {
    const why =
      errorCode(error) === "ENOENT" ? `it has no ${MANIFEST}: it was not finished, or is none` : String(error);
    throw new ConfigError(`${dir} is no backup: ${why}`, { cause: error });
  }
  const parsed = manifest.safeParse(found);
  if (!parsed.success) throw new ConfigError(`${dir} is no backup: its ${MANIFEST} is not what it should be`);
  if (parsed.data.format > FORMAT) throw new ConfigError(`${dir} was written by a newer version`);
  return parsed.data;
}

/** Copies a backup into a folder and checks it on the way. @throws ConfigError naming what does not fit its checksum. */
export async function copyBackup(dir: string, to: string, onProgress: OnProgress, signal: AbortSignal): Promise<void> {
  const { files } = await readManifest(dir);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  for (const { path, bytes, sha256 } of files) {
    signal.throwIfAborted();
    const target = join(to, path);
    await mkdir(dirname(target), { recursive: true });
    const found = await copied(join(dir, path), target).catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    });
    if (found === undefined) throw new ConfigError(`the backup is not whole: ${path} is missing; nothing was changed`);
    if (found !== sha256)
      throw new ConfigError(`the backup is damaged: ${path} fails its checksum; nothing was changed`);
    done += bytes;
    onProgress(done, total);
  }
  await syncBelow(to);
}

async function copied(from: string, to: string): Promise<string> {
  const hash = createHash("sha256");
  const file = await open(to, "wx");
  try {
    await pipeline(
      createReadStream(from),
      async function* (source: AsyncIterable<Buffer>) {
        for await (const chunk of source) {
          hash.update(chunk);
          yield chunk;
        }
      },
      async (source: AsyncIterable<Buffer>) => {
        for await (const chunk of source) await file.writeFile(chunk);
      },
    );
    await file.sync();
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}

/** Makes a file durable; gives its checksum. */
async function synced(path: string): Promise<string> {
  const hash = createHash("sha256");
  const file = await open(path, "r");
  try {
    for await (const chunk of file.createReadStream({ autoClose: false })) hash.update(chunk as Buffer);
    await file.sync();
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}

async function filesBelow(folder: string): Promise<{ path: string; bytes: number }[]> {
  const found: { path: string; bytes: number }[] = [];
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    found.push({ path: relative(folder, path), bytes: (await stat(path)).size });
  }
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function syncBelow(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) await syncBelow(join(folder, entry.name));
  }
  await syncFolder(folder);
}
