import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join, resolve } from "node:path";

/**
 * The pid of the process that has the data folder; undefined where there is none. Taking the lock to find out would write
 * to a store that is only to be looked at, and could keep a gateway from starting. On Linux only; elsewhere undefined.
 */
export async function lockHolder(dataDir: string): Promise<number | undefined> {
  const path = resolve(dataDir, "state", "lock", "LOCK");
  const lock = await stat(path, { bigint: true }).catch(() => undefined);
  const locks = await readFile("/proc/locks", "utf8").catch(() => "");
  if (!lock) return undefined;
  for (const line of locks.split("\n")) {
    // 1: POSIX  ADVISORY  WRITE 1234 fe:01:131075 0 EOF
    const match = /POSIX\s+ADVISORY\s+WRITE\s+(\d+)\s+([0-9a-f]+):([0-9a-f]+):(\d+)\s/.exec(line);
    if (!match || BigInt(match[4] ?? 0) !== lock.ino) continue;
    const pid = Number(match[1]);
    const sameDevice = device(match[2], match[3]) === lock.dev;
    // Overlay and btrfs report another device number here than there.
    if (sameDevice || (await hasOpen(pid, path))) return pid;
  }
  return undefined;
}

function device(major = "", minor = ""): bigint {
  const a = BigInt(`0x${major}`);
  const b = BigInt(`0x${minor}`);
  return ((a & 0xfffn) << 8n) | (b & 0xffn) | ((b & ~0xffn) << 12n) | ((a & ~0xfffn) << 32n);
}

async function hasOpen(pid: number, path: string): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  for (const name of await readdir(folder).catch(() => [])) {
    if ((await readlink(join(folder, name)).catch(() => "")) === path) return true;
  }
  return false;
}
