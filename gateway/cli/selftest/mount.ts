import { readFile, realpath, stat, statfs } from "node:fs/promises";
import { formatSize } from "../../core/options/units.ts";

/** The file system under a folder. */
export interface Mount {
  /** `ext4`, `tmpfs`, …; `unknown` where the system does not say. */
  readonly type: string;
  readonly mountPoint: string;
  /** Of the mount and of the file system. */
  readonly options: readonly string[];
  /** The device or share. */
  readonly source: string;
  /** Bytes that an ordinary user can still write. */
  readonly freeBytes: number;
  /** Bytes that were written to its device so far, by everybody; undefined where it has none of its own. */
  written(): Promise<number | undefined>;
}

const SECTOR_BYTES = 512;

/** Looks up the file system of a folder that exists. `mountinfo` is the kernel's list, see proc(5). */
export async function mountOf(folder: string, mountinfo = "/proc/self/mountinfo"): Promise<Mount> {
  const [path, { dev }, { bavail, bsize }] = await Promise.all([realpath(folder), stat(folder), statfs(folder)]);
  const text = await readFile(mountinfo, "utf8").catch(() => "");
  const found = findMount(text, path);
  return {
    type: found?.type ?? "unknown",
    mountPoint: found?.mountPoint ?? path,
    options: found?.options ?? [],
    source: found?.source ?? "unknown",
    freeBytes: bavail * bsize,
    written: () => sectorsWritten(dev),
  };
}

type Line = Pick<Mount, "type" | "mountPoint" | "options" | "source">;

/** The mount that `path` lies in; where several cover each other, the one on top. */
export function findMount(mountinfo: string, path: string): Line | undefined {
  let found: Line | undefined;
  for (const line of mountinfo.split("\n")) {
    const mount = parseLine(line);
    if (mount === undefined || !covers(mount.mountPoint, path)) continue;
    if (found === undefined || mount.mountPoint.length >= found.mountPoint.length) found = mount;
  }
  return found;
}

/** `36 35 98:0 / /mnt/a rw,noatime shared:1 - ext3 /dev/root rw,errors=continue` */
function parseLine(line: string): Line | undefined {
  const [before = "", after] = line.split(" - ", 2);
  if (after === undefined) return undefined;
  const [, , , , mountPoint = "", own = ""] = before.split(" ");
  const [type = "unknown", source = "unknown", more = ""] = after.split(" ");
  const options = [...new Set([...own.split(","), ...more.split(",")])].filter((option) => option !== "");
  return { type, mountPoint: plainText(mountPoint), options, source: plainText(source) };
}

/** Spaces and the like are written as `\040`. */
function plainText(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function covers(mountPoint: string, path: string): boolean {
  return mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
}

/** From the device's `stat` file (Documentation/block/stat.rst of the kernel: the seventh number). */
async function sectorsWritten(dev: number): Promise<number | undefined> {
  // As glibc's major() and minor() take a device number apart.
  const number = BigInt(dev);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn);
  const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn);
  const text = await readFile(`/sys/dev/block/${major}:${minor}/stat`, "utf8").catch(() => "");
  const sectors = Number(text.trim().split(/\s+/)[6]);
  return Number.isFinite(sectors) ? sectors * SECTOR_BYTES : undefined;
}

const MEMORY = new Set(["tmpfs", "ramfs"]);
const NETWORK = new Set(["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "virtiofs"]);
const NO_JOURNAL = new Set(["vfat", "msdos", "exfat", "ext2", "fuseblk", "ntfs", "ntfs3"]);

/** Whether nothing on it outlives the power. */
export function inMemory({ type }: Pick<Mount, "type">): boolean {
  return MEMORY.has(type);
}

/** What its kind and options mean for a queue, in plain words. */
export function warningsOf({ type, options }: Pick<Mount, "type" | "options">): string[] {
  const found: string[] = [];
  if (MEMORY.has(type)) found.push("this folder is in memory: nothing survives a power cut");
  if (NETWORK.has(type)) {
    found.push(`this folder is on another machine (${type}): the queue stops when the network does`);
  }
  if (NO_JOURNAL.has(type)) {
    found.push(`${type} keeps no journal: a power cut can damage the whole file system; use ext4 for the data folder`);
  }
  if (type === "overlay") {
    found.push(
      options.includes("volatile")
        ? "this is an overlay that skips fsync (volatile): nothing is certain to survive a power cut"
        : "this is an overlay: it may lie in memory or go with the container; put the data folder on a volume",
    );
  }
  if (options.includes("nobarrier") || options.includes("barrier=0")) {
    found.push("it is mounted without barriers: fsync does not reach the disk; take nobarrier out of /etc/fstab");
  }
  return found;
}

/** What there is no room for; undefined where the queue fits with all it may use. */
export function roomWarning(room: {
  readonly freeBytes: number;
  /** Bytes that the queue has on this disk already. */
  readonly usedBytes: number;
  readonly maxBytes: number;
  readonly minFree: number;
}): string | undefined {
  const holds = room.freeBytes + room.usedBytes - room.minFree;
  if (holds >= room.maxBytes) return undefined;
  const limits = `queue.maxBytes is ${formatSize(room.maxBytes)} and queue.minFree ${formatSize(room.minFree)}`;
  const will = holds <= 0 ? "the queue takes nothing" : `the queue holds only ${formatSize(holds)}`;
  return `${formatSize(room.freeBytes)} are free, ${limits}: ${will}`;
}
