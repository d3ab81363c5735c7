import { join } from "node:path";
import { folderBytes, namesIn } from "./files.ts";

/** What lies in quarantine. */
export async function quarantineOf(dataDir: string): Promise<{ segments: number; bytes: number }> {
  const folder = join(dataDir, "quarantine");
  let segments = 0;
  let bytes = 0;
  for (const name of await namesIn(folder)) {
    segments++;
    bytes += await folderBytes(join(folder, name)).catch(() => 0);
  }
  return { segments, bytes };
}
