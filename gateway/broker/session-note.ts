import { mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";

const noteSchema = z.object({
  clientId: z.string(),
  filters: z.array(z.string()),
  subscribed: z.boolean(),
});
/** What the broker outside may hold for us under a client id. */
export type SessionNote = z.infer<typeof noteSchema>;

/**
 * Remembers over restarts what was subscribed to: a session that is kept has the subscriptions of earlier configurations too,
 * and one that is gone should be there.
 */
export class SessionNoteFile {
  readonly #path: string;
  readonly #clientId: string;

  constructor(path: string, clientId: string) {
    this.#path = path;
    this.#clientId = clientId;
  }

  /** Nothing where there is none, it cannot be read, or it is of another client id. Never rejects. */
  async read(): Promise<SessionNote> {
    try {
      const note = noteSchema.parse(JSON.parse(await readFile(this.#path, "utf8")));
      if (note.clientId === this.#clientId) return note;
    } catch {
      // What is not known is not ended: what comes by it is counted, and told.
    }
    return { clientId: this.#clientId, filters: [], subscribed: false };
  }

  /** Resolves when it is on disk. @throws what the disk throws. */
  async write(note: SessionNote): Promise<void> {
    const folder = dirname(this.#path);
    await mkdir(folder, { recursive: true });
    const next = `${this.#path}.new`;
    const file = await open(next, "w", 0o600);
    try {
      await file.writeFile(`${JSON.stringify(note)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(next, this.#path);
    const place = await open(folder, "r");
    try {
      await place.sync();
    } finally {
      await place.close();
    }
  }
}
