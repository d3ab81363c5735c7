import { readdir, readFile, stat } from "node:fs/promises";

/** A locked line of /proc/locks: `1: FLOCK  ADVISORY  WRITE 1234 00:18:5 0 EOF`. */
const LOCK = /FLOCK\s+\S+\s+\S+\s+(\d+)\s+[0-9a-f]+:[0-9a-f]+:(\d+)\s/;

/** Who holds the lock of a serial port, such as `minicom (pid 1234)`; undefined where the system does not say. */
export async function holderOf(path: string): Promise<string | undefined> {
  try {
    const { ino } = await stat(path);
    const locks = await readFile("/proc/locks", "utf8");
    for (const line of locks.split("\n")) {
      const [, pid, inode] = LOCK.exec(line) ?? [];
      if (pid === undefined || Number(inode) !== ino || !(await holds(pid, path))) continue;
      const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "another program");
      return `${name.trim()} (pid ${pid})`;
    }
  } catch {
    // No /proc, or the port has just gone: then nothing is known.
  }
  return undefined;
}

/** Inodes are only unique within one file system: where its open files can be seen, the port must be among them. */
async function holds(pid: string, path: string): Promise<boolean> {
  const wanted = await stat(path);
  const files = await readdir(`/proc/${pid}/fd`).catch(() => undefined);
  if (!files) return true;
  for (const file of files) {
    const found = await stat(`/proc/${pid}/fd/${file}`).catch(() => undefined);
    if (found && found.ino === wanted.ino && found.rdev === wanted.rdev && found.dev === wanted.dev) return true;
  }
  return false;
}
