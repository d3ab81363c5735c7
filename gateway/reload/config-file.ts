import { createHash, randomBytes } from "node:crypto";
import { chmod, chown, open, rename, rm, stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname } from "node:path";
import { messageOf, StorageError } from "../core/errors.ts";

export function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * Replaces a file so that after a power cut it has the old text or the new one, whole: written beside, fsynced, moved over it. Mode and
 * owner stay; one that was not there is for its owner alone.
 * @throws StorageError with what to do where the folder cannot be written.
 */
export async function replaceText(path: string, text: string): Promise<void> {
  const next = `${path}.${randomBytes(4).toString("hex")}.new`;
  try {
    const before = await stat(path).catch(() => undefined);
    const file = await open(next, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (before) await chmod(next, before.mode & 0o777);
    if (before && before.uid !== userInfo().uid) await chown(next, before.uid, before.gid);
    await rename(next, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(next, { force: true }).catch(() => {});
    const cure = "let the gateway's user write the folder (in a unit: ReadWritePaths=), or apply the file by hand";
    throw new StorageError(`${path} cannot be replaced: ${messageOf(error)}; ${cure}`, { cause: error });
  }
}

/** What was renamed or removed in the folder is so after a power cut, too. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  await folder.sync().finally(() => folder.close());
}
