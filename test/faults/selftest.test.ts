import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it, onTestFinished } from "vitest";

const ROOT = join(import.meta.dirname, "..", "..");
const run = promisify(execFile);

it("the packed product, installed in an empty folder, tests the disk it is on", async () => {
  const folder = await mkdtemp(join(tmpdir(), "millrace-packed-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const { stdout } = await run("npm", ["pack", "--json", "--loglevel=error", "--pack-destination", folder], {
    cwd: ROOT,
  });
  const [packed] = JSON.parse(stdout) as { filename: string }[];
  await writeFile(join(folder, "package.json"), "{}");
  const install = ["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  await run("npm", [...install, join(folder, packed?.filename ?? "")], { cwd: folder });
  const before = await readdir(folder);
  const args = ["millrace", "selftest", "storage", "--seconds", "3", "--cycles", "5"];
  const tested = await run("npx", ["--no-install", ...args], { cwd: folder });
  expect(tested.stdout).toMatch(/^kills {3}5 kills .*\n {8}0 lost, 0 changed, 0 out of order/m);
  expect(tested.stdout).toMatch(/^Verdict: (GOOD|SLOW) - /m);
  console.log(tested.stdout);
  expect(await readdir(folder)).toEqual(before);
});
