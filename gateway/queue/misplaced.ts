import { rename, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../core/log.ts";
import { STREAMS } from "../core/record.ts";
import { errorCode, namesIn } from "./files.ts";
import type { Folders } from "./folders.ts";
import type { Quarantine } from "./quarantine.ts";

export interface MisplacedParts {
  readonly folders: Folders;
  readonly quarantine: Pick<Quarantine, "add">;
  readonly log: Logger;
}

/** A file where a folder of ours belongs, as a repaired file system may have it, is set aside: a new one is made. */
export async function clearFolderPlaces({ folders, quarantine, log }: MisplacedParts): Promise<void> {
  const { dataDir } = folders;
  const aside = join(dataDir, "quarantine");
  if ((await kindOf(aside)) === "file") await rename(aside, `${aside}.misplaced`);
  const places = ["state", "queue", ...STREAMS.map((stream) => join("queue", stream)), join("queue", "trash")];
  for (const place of places) {
    const path = join(dataDir, place);
    if ((await kindOf(path)) !== "file") continue;
    log.error({ path, to: await quarantine.add(path) }, "a file stands where a folder belongs: set aside");
  }
}

/** What is a folder among the state: the lock, and what other parts of the gateway keep there. */
const STATE_FOLDERS: ReadonlySet<string> = new Set(["lock", "audit", "learnt"]);

/** A folder where a state file belongs is set aside: the state counts as lost. */
export async function clearStatePlaces({ folders, quarantine, log }: MisplacedParts): Promise<void> {
  const state = folders.state("");
  for (const name of await namesIn(state)) {
    const path = join(state, name);
    if (STATE_FOLDERS.has(name) || (await kindOf(path)) !== "folder") continue;
    log.error({ path, to: await quarantine.add(path) }, "a folder stands where a file belongs: set aside");
  }
}

async function kindOf(path: string): Promise<"file" | "folder" | undefined> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch (error) {
    if (errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR") return undefined;
    throw error;
  }
}
