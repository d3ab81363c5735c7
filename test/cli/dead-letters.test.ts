import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runQueue } from "../../gateway/cli/queue.ts";
import { queueTools } from "../../gateway/queue-tools.ts";
import { testFolder } from "../queue/support.ts";
import { testIo } from "./io.ts";

async function home() {
  const cwd = await testFolder();
  writeFileSync(join(cwd, "millrace.yaml"), "gateway: { id: shop, dataDir: ./data }\n");
  const run = async (...args: string[]) => {
    const io = testIo({ cwd });
    return { code: await runQueue(["dead-letters", ...args], io, queueTools), out: io.stdout(), err: io.stderr() };
  };
  return { cwd, run };
}

function letters(cwd: string, uplink: string, reasons: readonly string[]): void {
  const folder = join(cwd, "data", "dead-letters", uplink);
  mkdirSync(folder, { recursive: true });
  const lines = reasons.map((reason, i) => JSON.stringify({ at: 1_732_300_000_000 + i, uplink, reason, seq: i + 1 }));
  writeFileSync(join(folder, "000000000001.ndjson"), `${lines.join("\n")}\n`);
}

it("says that there are none", async () => {
  const { run } = await home();
  expect(await run()).toEqual({ code: 0, out: "no dead letters\n", err: "" });
});

it("counts them by uplink and reason, exports them, and writes a file that is whole", async () => {
  const { cwd, run } = await home();
  letters(cwd, "cloud", ["0x99 payload format invalid", "0x99 payload format invalid", "too large"]);
  letters(cwd, "other", ["too large"]);
  const { out } = await run();
  expect(out).toMatch(/cloud +3 +2024-11-22T18:26:40\.000Z/);
  expect(out).toMatch(/2 .* 0x99 payload format invalid/);
  expect(JSON.parse((await run("--json", "--uplink", "other")).out)).toMatchObject([{ uplink: "other", records: 1 }]);
  expect((await run("export", "--uplink", "cloud")).out.trim().split("\n")).toHaveLength(3);
  expect((await run("export", "--out", "all.ndjson")).err).toBe("4 records in all.ndjson\n");
  expect(readFileSync(join(cwd, "all.ndjson"), "utf8").trim().split("\n")).toHaveLength(4);
});

it("refuses what it does not know", async () => {
  const { run } = await home();
  expect((await run("retry")).code).toBe(64);
  expect((await run("--out", "x")).code).toBe(64);
  expect((await run("--help")).out).toMatch(/refused for good/);
});
