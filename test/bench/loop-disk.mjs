// A disk of its own for a benchmark: a loop device with ext4 as mkfs.ext4 makes it, journal on. Needs root.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const SIZE = 1024 * 1024 * 1024;
const SECTOR = 512;
/** Seventh field of /sys/block/…/stat: sectors written, always of 512 bytes. */
const SECTORS_WRITTEN = 6;

function call(command, args) {
  const { error, status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(" ")}: ${stderr.trim()}`);
  return stdout.trim();
}

export class LoopDisk {
  #device;
  #mounted = false;

  /** Makes it in `folder`, where the image and the mount point lie. @throws Error where loop devices are not to be had. */
  constructor(folder) {
    this.image = join(folder, "disk.img");
    this.path = join(folder, "disk");
    mkdirSync(this.path, { recursive: true });
    writeFileSync(this.image, "");
    truncateSync(this.image, SIZE);
    this.#device = call("losetup", ["--find", "--show", this.image]);
    try {
      this.format();
      this.mount();
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** Makes it empty, with what mkfs.ext4 is told beside. Not mounted. @throws Error where it does not know `features`. */
  format(features) {
    this.unmount();
    // What the kernel would otherwise write in the background, at a time of its own, is written now.
    const eager = "lazy_itable_init=0,lazy_journal_init=0";
    call("mkfs.ext4", ["-q", "-F", "-E", eager, ...(features ? ["-O", features] : []), this.#device]);
  }
  mount() {
    call("mount", [this.#device, this.path]);
    this.#mounted = true;
  }
  unmount() {
    if (this.#mounted) call("umount", [this.path]);
    this.#mounted = false;
  }

  /** Mounts it for `work` and gives the bytes that reached the device until it was unmounted again. */
  async written(work) {
    this.unmount();
    const before = this.#bytes();
    this.mount();
    await work();
    call("sync", ["-f", this.path]);
    this.unmount();
    return this.#bytes() - before;
  }

  remove() {
    this.unmount();
    call("losetup", ["--detach", this.#device]);
  }

  #bytes() {
    const stat = readFileSync(join("/sys/block", basename(this.#device), "stat"), "utf8");
    return Number(stat.trim().split(/\s+/)[SECTORS_WRITTEN]) * SECTOR;
  }
}
