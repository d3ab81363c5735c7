import { stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

const MARK = "DAMAGED";

/** Leaves a note in the folder of a segment that part of it cannot be read. A disk that takes none has other worries. */
export async function markHurt(folder: string): Promise<void> {
  await writeFile(join(folder, MARK), "").catch(() => {});
}

export async function isHurt(folder: string): Promise<boolean> {
  return await stat(join(folder, MARK)).then(
    () => true,
    () => false,
  );
}
