import { readdir, readFile, readlink, realpath, stat } from "node:fs/promises";

export interface Holder {
  readonly pid: number;
  readonly program: string;
}

/** A held lock (proc_locks(5)): `1: POSIX  ADVISORY  WRITE 1234 fe:01:131075 0 EOF`. */
const LOCK = /^\d+:\s+(?:POSIX|FLOCK)\s+\S+\s+WRITE\s+(\d+)\s+([0-9a-f]+):([0-9a-f]+):(\d+)\s/;

/** The process that has locked a file; undefined where there is none, and where the system does not say. Never rejects. */
export async function lockerOf(path: string): Promise<number | undefined> {
  const file = await realpath(path).catch(() => path);
  const found = await stat(file, { bigint: true }).catch(() => undefined);
  const locks = await readFile("/proc/locks", "utf8").catch(() => "");
  if (!found) return undefined;
  for (const line of locks.split("\n")) {
    const [, pid, major, minor, inode] = LOCK.exec(line) ?? [];
    if (pid === undefined || BigInt(inode ?? 0) !== found.ino) continue;
    // Overlay and btrfs report another device number here than there.
    if (deviceOf(major, minor) === found.dev || (await hasOpen(pid, file))) return Number(pid);
  }
  return undefined;
}

/** Another process that has a file open: the one that locked it first, as far as this user may see. Never rejects. */
export async function holderOf(path: string): Promise<Holder | undefined> {
  const own = Number(await readlink("/proc/self").catch(() => "0"));
  const locker = await lockerOf(path);
  const pid = locker === undefined || locker === own ? await openerOf(path, own) : locker;
  return pid === undefined ? undefined : { pid, program: await programOf(pid) };
}

async function openerOf(path: string, own: number): Promise<number | undefined> {
  const file = await realpath(path).catch(() => path);
  for (const name of await readdir("/proc").catch(() => [])) {
    if (!/^\d+$/.test(name) || Number(name) === own) continue;
    if (await hasOpen(name, file)) return Number(name);
  }
  return undefined;
}

function deviceOf(major = "", minor = ""): bigint {
  const a = BigInt(`0x${major}`);
  const b = BigInt(`0x${minor}`);
  return ((a & 0xfffn) << 8n) | (b & 0xffn) | ((b & ~0xffn) << 12n) | ((a & ~0xfffn) << 32n);
}

async function hasOpen(pid: string, file: string): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => []);
  const targets = await Promise.all(names.map((name) => readlink(`${folder}/${name}`).catch(() => "")));
  return targets.includes(file);
}

async function programOf(pid: number): Promise<string> {
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
  return name.trim() || "a program";
}
