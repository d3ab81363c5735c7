import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";

/** Makes renames and new names in a folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Makes the files of a folder durable as they are now, and their names. What a killed process wrote can be read long
 * before it is on disk. @throws the system's error: then it may not be there after a power cut.
 */
export async function syncFiles(folder: string): Promise<void> {
  for (const name of await namesIn(folder)) {
    const handle = await open(join(folder, name), "r");
    try {
      if ((await handle.stat()).isFile()) await handle.sync();
    } finally {
      await handle.close();
    }
  }
  await syncFolder(folder);
  await syncFolder(join(folder, ".."));
}

/** Makes a folder with its parents, durably. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
}

/** Replaces a file so that after a power cut either the old or the new content is there. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const next = `${path}.new`;
  const handle = await open(next, "w");
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(next, path);
  await syncFolder(join(path, ".."));
}

/** Bytes of the files in a folder (not below it); 0 where it does not exist. */
export async function folderBytes(folder: string): Promise<number> {
  let bytes = 0;
  for (const name of await namesIn(folder)) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    if (found?.isFile()) bytes += found.size;
  }
  return bytes;
}

/** Names in a folder; none where it does not exist. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return [];
    throw error;
  }
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
}

/** The `code` of a system or Level error, looked for along the causes; the deepest one counts. */
export function errorCode(error: unknown): string | undefined {
  let code: string | undefined;
  for (let at = error; typeof at === "object" && at !== null; at = "cause" in at ? at.cause : undefined) {
    if ("code" in at && typeof at.code === "string") code = at.code;
  }
  return code;
}

/** All messages along the causes. */
export function errorText(error: unknown): string {
  const messages: string[] = [];
  for (let at = error; typeof at === "object" && at !== null; at = "cause" in at ? at.cause : undefined) {
    if ("message" in at && typeof at.message === "string") messages.push(at.message);
  }
  return messages.join(": ");
}

/** Whether an error is the machine's want (room, memory, handles, a disk that says no) rather than damaged content. */
export function isRefusal(error: unknown): boolean {
  const text = errorText(error);
  return (
    /No space left|Too many open files|Input\/output error|Read-only file system|Disk quota|Cannot allocate|Permission denied/i.test(
      text,
    ) || ["ENOSPC", "EMFILE", "ENFILE", "EIO", "EROFS", "EDQUOT", "ENOMEM", "EACCES"].includes(errorCode(error) ?? "")
  );
}

export function isNoSpace(error: unknown): boolean {
  return errorCode(error) === "ENOSPC" || /No space left|Disk quota/i.test(errorText(error));
}
