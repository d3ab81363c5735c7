import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execPath } from "node:process";
import { expect, it } from "vitest";
import { STREAMS } from "../../gateway/core/record.ts";
import { reader, seqsOf, startedQueue, testFolder, textOf, want } from "./support.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** Acknowledged appends after which the process is killed. */
const KILLS = [1, 40, 3, 120, 17, 75];

/** The child as JavaScript, for a Node that knows no types. */
async function compiled(folder: string): Promise<string> {
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const options = ["--noCheck", "--ignoreConfig", "--target", "es2023", "--module", "nodenext", "--types", "node"];
  const to = ["--rewriteRelativeImportExtensions", "--rootDir", ROOT, "--outDir", folder];
  const programs = [join(import.meta.dirname, "crash-child.ts"), join(ROOT, "gateway", "queue", "probe-child.ts")];
  const build = spawn(execPath, [tsc, ...options, ...to, ...programs], { cwd: ROOT });
  expect(await once(build, "exit")).toEqual([0, null]);
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return join(folder, "test", "queue", "crash-child.js");
}

/** What was promised and delivered over all rounds. */
class Ledger {
  readonly promised = new Set<string>();
  readonly delivered = new Set<string>();
  readonly #ids = new Map<string, string>();

  saw(id: string, text: string): void {
    expect(this.#ids.get(id) ?? text).toBe(text);
    this.#ids.set(id, text);
    this.delivered.add(text);
  }
  line(line: string): void {
    const [word, stream, ...rest] = line.split(" ");
    if (word === "appended") for (const text of rest) this.promised.add(text);
    else if (word === "read") this.saw(`${stream} ${rest[0]} ${rest[1]}`, rest[2] ?? "");
  }
}

/** Lets a child run until it was promised so many appends, and kills it. */
async function round(child: ChildProcess, appends: number, ledger: Ledger): Promise<void> {
  let text = "";
  let count = 0;
  child.stdout?.on("data", (bytes: Buffer) => {
    // What follows the last line break was cut off by the kill.
    const lines = (text + bytes.toString()).split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      ledger.line(line);
      if (line.startsWith("appended") && ++count === appends) child.kill("SIGKILL");
    }
  });
  const [code, signal] = await once(child, "close");
  expect([code, signal]).toEqual([null, "SIGKILL"]);
}

it("nothing that was promised is lost to SIGKILL, and no id is ever used for other bytes", async () => {
  const folder = await testFolder();
  const program = await compiled(join(folder, "program"));
  const dataDir = join(folder, "data");
  const ledger = new Ledger();
  for (const [index, appends] of KILLS.entries()) {
    const child = spawn(execPath, [program, dataDir, `${index}`], { stdio: ["ignore", "pipe", "inherit"] });
    await round(child, appends, ledger);
  }
  const queue = await startedQueue(dataDir);
  await queue.open("up", reader());
  const owed = (stream: "events" | "telemetry") => queue.stats().uplinks[0]?.streams[stream].depth ?? 0;
  for (const stream of STREAMS) {
    while (owed(stream) > 0) {
      const entries = await queue.read("up", want(stream), AbortSignal.timeout(5000));
      for (const entry of entries) ledger.saw(`${stream} ${entry.epoch} ${entry.seq}`, textOf(entry));
      await queue.settle("up", stream, seqsOf(entries));
    }
  }
  expect(ledger.promised.size).toBeGreaterThan(500);
  expect([...ledger.promised].filter((text) => !ledger.delivered.has(text))).toEqual([]);
  expect(queue.gaps("up").filter(({ reason }) => reason !== "power-loss")).toEqual([]);
}, 60_000);
