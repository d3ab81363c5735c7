import { execFile } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const folder = fileURLToPath(new URL("../../systemd/", import.meta.url));
const unit = "millrace.service";
let root = "";

beforeAll(async () => {
  await run("systemd-analyze", ["--version"]).catch(() => {
    throw new Error("systemd-analyze is not here; install Debian's package systemd");
  });
  root = await mkdtemp(join(tmpdir(), "millrace-unit-"));
  await mkdir(join(root, "etc/systemd/system"), { recursive: true });
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

  it("is exposed by at most 2.0 of 10", async () => {
    const path = join(folder, unit);
    const { stdout } = await run("systemd-analyze", ["security", "--offline=true", "--no-pager", path]);
    const score = Number(/exposure level for millrace\.service: ([\d.]+)/.exec(stdout)?.[1]);
    console.log(`systemd-analyze security: ${score}`);
    expect(score).toBeLessThanOrEqual(2);
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
