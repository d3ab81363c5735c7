import { execFile } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const folder = fileURLToPath(new URL("../../systemd/", import.meta.url));
const unit = "millrace.service";
let root = "";
let dropIns = "";

/** What `systemd-analyze security` says of the unit as it is in the root now, drop-ins and all. */
async function shown(): Promise<string> {
  const args = ["security", "--offline=true", "--no-pager", `--root=${root}`, unit];
  return (await run("systemd-analyze", args)).stdout;
}

async function exposure(): Promise<number> {
  return Number(/exposure level for millrace\.service: ([\d.]+)/.exec(await shown())?.[1]);
}

beforeAll(async () => {
  await run("systemd-analyze", ["--version"]).catch(() => {
    throw new Error("systemd-analyze is not here; install Debian's package systemd");
  });
  root = await mkdtemp(join(tmpdir(), "millrace-unit-"));
  dropIns = join(root, "etc/systemd/system/millrace.service.d");
  await mkdir(dropIns, { recursive: true });
  await mkdir(join(root, "usr/bin"), { recursive: true });
  // The targets a unit hangs on; without them every unit fails.
  await cp("/usr/lib/systemd/system", join(root, "usr/lib/systemd/system"), {
    recursive: true,
    verbatimSymlinks: true,
  });
  await cp(join(folder, unit), join(root, "etc/systemd/system", unit));
  await writeFile(join(root, "usr/bin/node"), "#!/bin/sh\n");
  await chmod(join(root, "usr/bin/node"), 0o755);
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe("millrace.service", () => {
  it("passes systemd-analyze verify without a word", async () => {
    const { stdout, stderr } = await run("systemd-analyze", ["verify", "--man=no", `--root=${root}`, unit]);
    // What the distribution's own units say is not ours.
    const ours = `${stdout}${stderr}`.split("\n").filter((line) => line.includes("millrace"));
    expect(ours).toEqual([]);
  });

  it("is exposed by at most 1.5 of 10 without serial ports, and by at most 2.0 with the drop-in that opens them", async () => {
    const network = await exposure();
    expect(await shown()).not.toContain("char-ttyUSB");
    await cp(join(folder, "serial.conf"), join(dropIns, "serial.conf"));
    const serial = await exposure();
    expect(await shown()).toContain("char-ttyUSB:rw");
    await rm(join(dropIns, "serial.conf"));
    console.log(`systemd-analyze security: network only ${network}, with serial ports ${serial}`);
    expect(network).toBeLessThanOrEqual(1.5);
    expect(serial).toBeLessThanOrEqual(2);
    expect(serial).toBeGreaterThan(network);
  });

  it("passes systemd-analyze verify with the drop-in too", async () => {
    await cp(join(folder, "serial.conf"), join(dropIns, "serial.conf"));
    const { stdout, stderr } = await run("systemd-analyze", ["verify", "--man=no", `--root=${root}`, unit]);
    expect(`${stdout}${stderr}`.split("\n").filter((line) => /millrace|serial\.conf/.test(line))).toEqual([]);
    await rm(join(dropIns, "serial.conf"));
  });

  it("has the drop-in no more once a link to /dev/null stands in its place, as docs/systemd.md says", async () => {
    const shipped = join(root, "usr/lib/systemd/system/millrace.service.d");
    await mkdir(shipped, { recursive: true });
    await cp(join(folder, "serial.conf"), join(shipped, "serial.conf"));
    const open = await exposure();
    await symlink("/dev/null", join(dropIns, "serial.conf"));
    expect(await exposure()).toBeLessThan(open);
    expect(await shown()).not.toContain("char-ttyUSB");
    await rm(join(dropIns, "serial.conf"));
    await rm(shipped, { recursive: true });
  });

  it("fails the check when its program is not there, so the check can fail", async () => {
    await rm(join(root, "usr/bin/node"));
    const failed = await run("systemd-analyze", ["verify", "--man=no", `--root=${root}`, unit]).then(
      () => "",
      (error: { stderr?: string }) => error.stderr ?? "",
    );
    expect(failed).toContain("/usr/bin/node is not executable");
  });
});

describe("millrace.sysusers", () => {
  it("makes one user", async () => {
    await mkdir(join(root, "etc"), { recursive: true });
    await run("systemd-sysusers", [`--root=${root}`, join(folder, "millrace.sysusers")]);
    const { stdout } = await run("cat", [join(root, "etc/passwd")]);
    expect(stdout).toMatch(/^millrace:/m);
  });
});

describe("install.sh", () => {
  it("is a shell script that says what it does and needs root", async () => {
    const script = join(folder, "install.sh");
    await run("sh", ["-n", script]);
    const { stdout } = await run("sh", [script, "--help"]);
    expect(stdout).toContain("/etc/millrace/millrace.yaml");
  });
});
