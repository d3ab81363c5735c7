import { stat } from "node:fs/promises";
import { userInfo } from "node:os";
import { ConfigError } from "../core/errors.ts";
import { FolderLock } from "./lock.ts";

/**
 * Works in the data folder of a stopped gateway while no gateway can start there. Only as the folder's owner: a file that
 * somebody else makes in it would keep the gateway from starting.
 * @throws ConfigError when a gateway runs, or for another user.
 */
export async function alone<T>(dataDir: string, work: () => Promise<T>): Promise<T> {
  await mustBeOwner(dataDir);
  const lock = new FolderLock(dataDir);
  await lock.take();
  try {
    return await work();
  } finally {
    await lock.release().catch(() => {});
  }
}

/** Before something is made in the data folder. @throws ConfigError for another user, root too. */
export async function mustBeOwner(dataDir: string): Promise<void> {
  const { uid } = userInfo();
  const owner = (await stat(dataDir)).uid;
  if (uid === owner) return;
  throw new ConfigError(
    `${dataDir} belongs to user ${owner} and this is user ${uid}; run it as its owner: sudo -u '#${owner}' millrace queue …`,
  );
}
