import { link, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, namesIn, syncFolder } from "./files.ts";

const KEPT = /^kept-(\d+)$/;
/** What LevelDB opens; the rest it makes itself. */
const CONTENT = /^(CURRENT|MANIFEST-\d+|\d+\.(log|ldb|sst))$/;
/** File systems without hard links say one of these. */
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"]);

/**
 * Opens an old segment with `open`, such that a power cut on the way costs nothing. LevelDB writes an old segment anew
 * when it opens it, and removes the old files without an fsync of the folder: where names reach the disk in another
 * order, the only copy is gone. So every file is linked into a folder `kept-<number of files>` first, which stays until
 * the new names are on disk. A folder with fewer files than its name says was not finished, or was being removed: what
 * stands beside it is whole.
 * @throws what `open` throws; the system's error where links cannot be made for want of room.
 */
export async function openKept<T>(folder: string, open: () => Promise<T>): Promise<T> {
  const kept = (await putBack(folder)) ?? (await keep(folder));
  const opened = await open();
  if (kept === undefined) return opened;
  await syncFolder(folder).then(
    () => rm(kept, { recursive: true, force: true }),
    () => {
      // It stays for the next time.
    },
  );
  return opened;
}

/** After an opening that was not finished: puts the files back. Gives their folder; undefined where there was none. */
async function putBack(folder: string): Promise<string | undefined> {
  const names = await namesIn(folder);
  const found = names.find((name) => KEPT.test(name));
  if (found === undefined) return undefined;
  const kept = join(folder, found);
  const files = await namesIn(kept);
  if (files.length !== Number(KEPT.exec(found)?.[1])) {
    await rm(kept, { recursive: true, force: true });
    return await putBack(folder);
  }
  for (const name of names) if (CONTENT.test(name)) await rm(join(folder, name), { force: true });
  for (const name of files) await link(join(kept, name), join(folder, name));
  return kept;
}

/** Links every file. Undefined where the file system has no links. */
async function keep(folder: string): Promise<string | undefined> {
  const files = (await namesIn(folder)).filter((name) => CONTENT.test(name));
  if (files.length === 0) return undefined;
  const kept = join(folder, `kept-${files.length}`);
  try {
    await mkdir(kept);
    for (const name of files) await link(join(folder, name), join(kept, name));
    await syncFolder(kept);
    await syncFolder(folder);
    return kept;
  } catch (error) {
    await rm(kept, { recursive: true, force: true });
    if (NO_LINKS.has(errorCode(error) ?? "")) return undefined;
    throw error;
  }
}
