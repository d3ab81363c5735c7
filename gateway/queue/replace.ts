import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { ConfigError } from "../core/errors.ts";
import { STREAMS } from "../core/record.ts";
import { trashFolder } from "./aside.ts";
import { type BackupManifest, copyBackup, type OnProgress, readManifest } from "./backup.ts";
import { errorCode, makeFolder, namesIn, removeFolder, replaceFile, syncFolder } from "./files.ts";
import { Folders } from "./folders.ts";
import { readIdentity } from "./identity.ts";
import { LevelSegments } from "./level-segments.ts";
import { alone } from "./owned-lock.ts";
import { STATE } from "./snapshot.ts";
import { readStopped } from "./stopped-store.ts";

const STAGED = /^restoring-/;

/** What was in a data folder before it was replaced. */
export interface Replaced {
  /** Per uplink, records it was owed that are gone now. */
  readonly owed: readonly { readonly name: string; readonly owed: number }[];
}

/**
 * Empties the queue of a stopped gateway: segments, cursors, the list of uplinks, quarantine. What is known of the clock
 * stays. The next start makes a new store with a new epoch.
 * @throws ConfigError when a gateway runs.
 */
export async function resetQueue(dataDir: string): Promise<Replaced> {
  return await alone(dataDir, async () => {
    const owed = await owedIn(dataDir);
    await clear(dataDir, (name) => name !== "boots");
    await removeFolder(join(dataDir, "quarantine"));
    return { owed };
  });
}

/**
 * Puts a backup in the place of the queue of a stopped gateway. Checked as a whole before anything is changed; if it is
 * interrupted after that, call it again. The next start begins a new epoch.
 * @throws ConfigError when a gateway runs, when the backup is not whole, when an uplink is owed records and not `replace`.
 */
export async function restoreQueue(
  dataDir: string,
  dir: string,
  { replace, onProgress, signal }: { replace: boolean; onProgress: OnProgress; signal: AbortSignal },
): Promise<Replaced & { readonly manifest: BackupManifest }> {
  const manifest = await readManifest(dir);
  await mkdir(dataDir, { recursive: true });
  return await alone(dataDir, async () => {
    const owed = await owedIn(dataDir);
    if (owed.length > 0 && !replace) {
      const list = owed.map(({ name, owed: count }) => `${name} ${count.toLocaleString("en-US")}`).join(", ");
      throw new ConfigError(
        `the queue in ${dataDir} still owes records (${list}): restoring would lose them. Let the gateway deliver them, ` +
          "or keep them with `millrace queue backup`, or say --yes to lose them",
      );
    }
    for (const name of await namesIn(dataDir)) if (STAGED.test(name)) await removeFolder(join(dataDir, name));
    const staged = join(dataDir, `restoring-${Date.now()}`);
    try {
      await copyBackup(dir, staged, onProgress, signal);
      await clear(dataDir, () => true);
      await putIn(staged, dataDir);
    } finally {
      await removeFolder(staged).catch(() => {});
    }
    return { owed, manifest };
  });
}

async function putIn(staged: string, dataDir: string): Promise<void> {
  const queue = join(dataDir, "queue");
  const state = join(dataDir, "state");
  for (const stream of STREAMS) {
    const to = join(queue, stream);
    await removeFolder(to);
    await rename(join(staged, "queue", stream), to).catch(async (error: unknown) => {
      // A stream without segments has no file in the manifest.
      if (errorCode(error) !== "ENOENT") throw error;
      await makeFolder(to);
    });
  }
  await syncFolder(queue);
  for (const name of await namesIn(join(staged, "state"))) {
    if (STATE.test(name) && name !== "store.json") await rename(join(staged, "state", name), join(state, name));
  }
  await syncFolder(state);
  // Last, and as if it came from another machine: the start then begins a new epoch, as it must.
  const identity: unknown = JSON.parse(await readFile(join(staged, "state", "store.json"), "utf8"));
  await replaceFile(
    join(state, "store.json"),
    `${JSON.stringify({ ...(typeof identity === "object" ? identity : {}), machine: `restored ${Date.now()}` })}\n`,
  );
}

/** Takes the queue away. Segments go in one step per stream; what is left is removed at the next start, at the latest. */
async function clear(dataDir: string, goes: (name: string) => boolean): Promise<void> {
  const gone = await trashFolder(dataDir, "gone");
  const state = join(dataDir, "state");
  for (const name of await namesIn(state)) {
    if (STATE.test(name) && goes(name)) await rm(join(state, name), { force: true });
  }
  await syncFolder(state);
  for (const stream of STREAMS) {
    await rename(join(dataDir, "queue", stream), join(gone, stream)).catch((error: unknown) => {
      if (errorCode(error) !== "ENOENT") throw error;
    });
  }
  await syncFolder(join(dataDir, "queue"));
  await removeFolder(join(dataDir, "queue", "trash", basename(gone))).catch(() => {});
}

/** @throws ConfigError when the store is of a newer version. */
async function owedIn(dataDir: string): Promise<{ name: string; owed: number }[]> {
  await readIdentity(dataDir);
  try {
    const { uplinks } = await readStopped(new Folders(dataDir), new LevelSegments(0));
    return [...uplinks.values()].flatMap(({ name, cursors }) => {
      const owed = STREAMS.reduce((sum, stream) => sum + cursors[stream].depth().count, 0);
      return owed > 0 ? [{ name, owed }] : [];
    });
  } catch (error) {
    // There is none.
    if (error instanceof ConfigError) return [];
    throw error;
  }
}
