import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";

/** The built program itself: commands, help, exit codes. */

const main = fileURLToPath(new URL("../../dist/gateway/main.js", import.meta.url));
const run = promisify(execFile);

async function millrace(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const { stdout, stderr } = await run(process.execPath, [main, ...args], { timeout: 15_000 });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
}

describe("millrace", () => {
  it("lists its commands", async () => {
    const { code, out } = await millrace();
    expect(code).toBe(0);
    for (const name of [
      "run",
      "check",
      "status",
      "plan",
      "requests",
      "learnt",
      "verify",
      "selftest",
      "simulate",
      "demo",
    ])
      expect(out).toContain(`\n  ${name} `);
  });

  it("says its version", async () => {
    expect((await millrace("--version")).out).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  it.each(["run", "check", "status", "plan", "requests", "learnt", "verify", "selftest", "simulate", "demo"])(
    "%s has --help with an example",
    async (name) => {
      const { code, out } = await millrace(name, "--help");
      expect(code).toBe(0);
      expect(out).toMatch(/Example/);
    },
  );

  it.each([
    [["nonsense"], 64, 'no command "nonsense"'],
    [["constructor"], 64, 'no command "constructor"'],
    [["run", "--nonsense"], 64, "--nonsense"],
    [["run", "--log-level", "loud"], 64, "loud"],
    [["run", "--config", "/nowhere/millrace.yaml"], 78, "/nowhere/millrace.yaml"],
    [["check", "/nowhere/millrace.yaml"], 66, "/nowhere/millrace.yaml"],
  ])("%j ends with %i and says why", async (args, code, words) => {
    const ended = await millrace(...args);
    expect(ended.code).toBe(code);
    expect(ended.err + ended.out).toContain(words);
  });
});
