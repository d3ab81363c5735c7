import { join } from "node:path";
import { ClassicLevel } from "classic-level";
import { ConfigError } from "../core/errors.ts";
import { errorCode, isRefusal, removeFolder } from "./files.ts";

/** The lock of the data folder: a LevelDB nobody writes to. It goes with the process, however that ends. */
export class FolderLock {
  readonly #dataDir: string;
  #db: ClassicLevel | undefined;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
  }

  /** @throws ConfigError when another process holds it. */
  async take(): Promise<void> {
    const folder = join(this.#dataDir, "state", "lock");
    try {
      this.#db = await opened(folder);
    } catch (error) {
      if (errorCode(error) === "LEVEL_LOCKED") {
        throw new ConfigError(`another process uses the data folder ${this.#dataDir}`, { cause: error });
      }
      if (isRefusal(error)) throw error;
      // There is nothing in it to lose.
      await removeFolder(folder);
      this.#db = await opened(folder);
    }
  }

  async release(): Promise<void> {
    const db = this.#db;
    this.#db = undefined;
    await db?.close();
  }
}

async function opened(folder: string): Promise<ClassicLevel> {
  const db = new ClassicLevel(folder, { compression: false, writeBufferSize: 64 * 1024, cacheSize: 0 });
  await db.open();
  return db;
}
