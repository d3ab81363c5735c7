import { readdir, readFile, readlink, realpath, stat } from "node:fs/promises";

export interface Holder {
  readonly pid: number;
  readonly program: string;
}

/** Another process that has a file open, the one that locked it first, as far as this user may see. Never rejects. */
export async function holderOf(path: string): Promise<Holder | undefined> {
  try {
    const device = await realpath(path);
    const ownPid = await readlink("/proc/self");
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name) && name !== ownPid);
    const holders: string[] = [];
    for (const pid of pids) if (await hasOpen(pid, device)) holders.push(pid);
    const locker = await lockerOf(device, holders);
    const pid = locker ?? holders[0];
    return pid === undefined ? undefined : { pid: Number(pid), program: await programOf(pid) };
  } catch {
    // No /proc, or no such port: then nobody can be named.
    return undefined;
  }
}

/** Which of the processes has locked the file (proc_locks(5)). */
async function lockerOf(device: string, pids: readonly string[]): Promise<string | undefined> {
  const { ino } = await stat(device);
  const locks = await readFile("/proc/locks", "utf8").catch(() => "");
  return pids.find((pid) => new RegExp(`FLOCK .* ${pid} [0-9a-f]+:[0-9a-f]+:${ino} `).test(locks));
}

async function hasOpen(pid: string, device: string): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  const names = await readdir(folder).catch(() => []);
  const targets = await Promise.all(names.map((name) => readlink(`${folder}/${name}`).catch(() => "")));
  return targets.includes(device);
}

async function programOf(pid: string): Promise<string> {
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
  return name.trim() || "a program";
}
