import { readFile } from "node:fs/promises";
import { hashOf, replaceText } from "./config-file.ts";
import type { ConfigHistory } from "./history.ts";

/**
 * Before the configuration is read: a text that nobody had confirmed when the process ended (power cut, kill, restart) gives way to the one
 * before it. A file that somebody changed since is left as it is. Gives what was done, for the log; undefined where nothing waited.
 * @throws StorageError when the file cannot be replaced.
 */
export async function recoverPending(history: ConfigHistory): Promise<string | undefined> {
  const note = await history.waiting();
  if (note === undefined) return undefined;
  const [applied, before] = [await history.get(note.id), await history.get(note.before)];
  const present = await readFile(note.file, "utf8").catch(() => undefined);
  if (!applied || !before || present === undefined) {
    await history.settle();
    return `configuration ${note.id} was not confirmed, but there is nothing to go back to: the file is left as it is`;
  }
  const hash = hashOf(present);
  if (hash !== applied.sha256 && hash !== before.sha256) {
    await history.close(note.id, "reverted", "the file was changed by hand");
    await history.settle();
    return `configuration ${note.id} was not confirmed; the file was changed by hand since and is left as it is`;
  }
  if (hash !== before.sha256) await replaceText(note.file, before.text);
  await history.close(note.id, "reverted", "the gateway ended before anybody confirmed it");
  await history.settle();
  return `configuration ${note.id} was not confirmed before the gateway ended: back to configuration ${note.before}`;
}
