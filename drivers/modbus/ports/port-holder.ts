import { readdir, readFile, readlink, realpath } from "node:fs/promises";

export interface Holder {
  readonly pid: number;
  readonly program: string;
}

/** Another process that has a file open, as far as this user may see (proc_pid_fd(5)). Never rejects. */
export async function holderOf(path: string): Promise<Holder | undefined> {
  try {
    const device = await realpath(path);
    const ownPid = await readlink("/proc/self");
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name) && name !== ownPid);
    for (const pid of pids) {
      if (await hasOpen(pid, device)) return { pid: Number(pid), program: await programOf(pid) };
    }
  } catch {
    // No /proc, or no such port: then nobody can be named.
  }
  return undefined;
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
