import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Process } from "./processes.ts";

/** A Debian 13 in a folder, made by debootstrap once and copied for each run. */

const INCLUDED = "nodejs,systemd";
const mirror = process.env["MILLRACE_DEBIAN_MIRROR"] ?? "http://deb.debian.org/debian";
const cache = process.env["MILLRACE_CACHE"] ?? join(tmpdir(), "millrace-debootstrap");

/** Why no Debian root can be made here; undefined when one can. */
export function whyNoRoot(): string | undefined {
  if (process.getuid?.() !== 0) return "it needs root (debootstrap, chroot, mount)";
  for (const [program, brought] of [
    ["/usr/sbin/debootstrap", "debootstrap"],
    ["/usr/bin/dpkg-deb", "dpkg"],
    ["/usr/bin/unshare", "util-linux"],
  ] as const)
    if (!existsSync(program)) return `${program} is not here: apt-get install ${brought}`;
  if (spawnSync("unshare", ["--mount", "true"]).status !== 0)
    return "this machine does not allow mounts (unshare --mount)";
  return undefined;
}

/** A plain Debian 13 with Node.js and systemd's programs; made when it is not in the cache. Its path. */
export function cachedBase(): string {
  const base = join(cache, "trixie");
  if (existsSync(join(base, ".complete"))) return base;
  mkdirSync(cache, { recursive: true });
  const making = join(cache, `making-${process.pid}`);
  const done = spawnSync("debootstrap", ["--variant=minbase", `--include=${INCLUDED}`, "trixie", making, mirror], {
    encoding: "utf8",
    timeout: 280_000,
  });
  if (done.status !== 0) {
    rmSync(making, { recursive: true, force: true });
    const last = `${done.stdout}${done.stderr}`.trim().split("\n").slice(-5).join("\n");
    throw new Error(`debootstrap of trixie from ${mirror} failed (MILLRACE_DEBIAN_MIRROR names another):\n${last}`);
  }
  rmSync(join(making, "var/cache/apt/archives"), { recursive: true, force: true });
  writeFileSync(join(making, ".complete"), "");
  rmSync(base, { recursive: true, force: true });
  renameSync(making, base);
  return base;
}

/**
 * Runs programs in it. /proc is mounted in a mount namespace of each program's own: it goes with the program, and nothing has to be
 * unmounted.
 */
export class DebianRoot {
  readonly path: string;
  constructor(path: string) {
    this.path = path;
  }
  make(): void {
    execFileSync("cp", ["-a", "--reflink=auto", cachedBase(), this.path]);
    rmSync(join(this.path, ".complete"));
    // No service is started by a package.
    writeFileSync(join(this.path, "usr/sbin/policy-rc.d"), "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  }
  #args(user: string, command: readonly string[]): string[] {
    const script =
      'root=$1 user=$2; shift 2; mount -t proc proc "$root/proc" && exec chroot --userspec="$user" "$root" "$@"';
    return ["--mount", "--propagation", "private", "sh", "-c", script, "sh", this.path, user, ...command];
  }
  /** What it printed, and how it ended. */
  run(command: readonly string[], user = "root"): { code: number | null; text: string } {
    const done = spawnSync("unshare", this.#args(user, command), {
      encoding: "utf8",
      timeout: 120_000,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C.UTF-8", DEBIAN_FRONTEND: "noninteractive", HOME: "/" },
    });
    return { code: done.status, text: `${done.stdout}${done.stderr}` };
  }
  /** @throws Error with all that it said, when it fails. */
  must(command: readonly string[], user = "root"): string {
    const { code, text } = this.run(command, user);
    if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}:\n${text}`);
    return text;
  }
  start(command: readonly string[], user: string): Process {
    return new Process("unshare", this.#args(user, command), {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/" },
    });
  }
  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
