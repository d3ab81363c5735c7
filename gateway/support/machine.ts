import type { Dirent } from "node:fs";
import { lstat, readdir, readFile, statfs } from "node:fs/promises";
import {
  availableParallelism,
  cpus,
  freemem,
  hostname,
  loadavg,
  machine,
  release,
  totalmem,
  uptime,
  version,
} from "node:os";
import { join } from "node:path";

const MOST_FILES = 20_000;

/** What the machine is, and what is left of it. Sizes are bytes. */
export async function describeMachine(dataDir: string | undefined): Promise<Record<string, unknown>> {
  const system = await readFile("/etc/os-release", "utf8").catch(() => "");
  return {
    host: hostname(),
    system: /^PRETTY_NAME="?([^"\n]+)/m.exec(system)?.[1],
    kernel: `${release()} ${version()}`,
    machine: machine(),
    processor: cpus()[0]?.model,
    cores: availableParallelism(),
    load: loadavg(),
    memoryBytes: totalmem(),
    freeMemoryBytes: freemem(),
    upSeconds: Math.round(uptime()),
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    ...(dataDir === undefined ? {} : { dataDir, disk: await diskUnder(dataDir) }),
  };
}

async function diskUnder(folder: string): Promise<Record<string, unknown>> {
  try {
    const { bavail, blocks, bsize, ffree, type } = await statfs(folder);
    return {
      freeBytes: bavail * bsize,
      bytes: blocks * bsize,
      freeFiles: ffree,
      fileSystem: `0x${type.toString(16)}`,
    };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** Mode, size, time of the last change and name of everything in a folder, a line each; what goes away meanwhile is left out. */
export async function listFolder(folder: string): Promise<string> {
  const lines: string[] = [];
  const left = [""];
  for (let at = left.pop(); at !== undefined; at = left.pop()) {
    for (const entry of await entriesOf(join(folder, at))) {
      if (lines.length >= MOST_FILES) return `${lines.join("\n")}\nand more\n`;
      const name = join(at, entry.name);
      const about = await lstat(join(folder, name)).catch(() => undefined);
      if (!about) continue;
      const mode = (about.mode & 0o7777).toString(8).padStart(4, "0");
      const kind = entry.isDirectory() ? "/" : entry.isSymbolicLink() ? "@" : entry.isSocket() ? "=" : "";
      lines.push(
        `${mode} ${String(about.uid)} ${String(about.size).padStart(12)} ${about.mtime.toISOString()} ${name}${kind}`,
      );
      if (entry.isDirectory()) left.push(name);
    }
  }
  return `${lines.join("\n")}\n`;
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  try {
    return (await readdir(folder, { withFileTypes: true })).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    // A segment that was delivered may go while it is being looked into.
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
