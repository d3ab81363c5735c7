import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ConfigFaults } from "../../gateway/config/faults.ts";
import { loadConfig } from "../../gateway/config/load.ts";

/**
 * Each folder holds a broken configuration and the exact message for it. UPDATE_CASES=1 writes the messages anew, to be
 * read before they are committed.
 */
const FOLDER = join(import.meta.dirname, "../cases/config");

async function messageFor(name: string): Promise<string> {
  try {
    await loadConfig("millrace.yaml", { cwd: join(FOLDER, name) });
  } catch (error) {
    if (error instanceof ConfigFaults) return `${error.message}\n`;
    throw error;
  }
  return "no fault\n";
}

const names = readdirSync(FOLDER).sort();

describe("broken configurations", () => {
  it("are at least 25", () => expect(names.length).toBeGreaterThanOrEqual(25));

  it.each(names)("%s", async (name) => {
    const file = join(FOLDER, name, "expected.txt");
    const message = await messageFor(name);
    if (process.env["UPDATE_CASES"] === "1") writeFileSync(file, message);
    expect(message).toBe(readFileSync(file, "utf8"));
  });

  it.each(names)("%s: every line names file, line and column, and no secret is echoed", async (name) => {
    const lines = (await messageFor(name)).trimEnd().split("\n");
    for (const line of lines) expect(line).toMatch(/^(millrace\.yaml:\d+:\d+: .+|and \d+ more)$/);
    expect(lines.join("\n")).not.toContain("hunter2");
  });
});
