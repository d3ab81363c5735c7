import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { ClassicLevel } from "classic-level";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { STREAMS, type StreamName } from "../../gateway/core/record.ts";
import {
  type Answer,
  type Damage,
  forData,
  forOthers,
  forState,
  isSealed,
  judge,
  places,
  type Stored,
  segmentsOf,
} from "../support/damage.ts";
import { Process, root, scratch } from "../support/processes.ts";
import { Random, seedOf } from "../support/random.ts";

/**
 * Every kind of file of a store, damaged in every way, on stores that a real process wrote: closed cleanly, killed, and
 * opened by version 0.1, which made tables of logs. It starts, delivers everything outside the damaged segment, and
 * tells the rest as gaps: exactly what is missing in sealed segments, never less in the others.
 * MILLRACE_DAMAGE_SEEDS (default 1) rounds with other stores and places, MILLRACE_SEED.
 */
const rounds = Number(process.env["MILLRACE_DAMAGE_SEEDS"] ?? 1);
const first = seedOf(process.env["MILLRACE_SEED"]);
/** On memory where there is some: thousands of fsyncs prove nothing here. */
const home = scratch("damage", existsSync("/dev/shm") ? "/dev/shm" : undefined);
const programs = join(root, "test", "faults", "programs");
const figures = { cases: 0, started: 0, missing: 0, unreported: 0, inexact: 0, inexactSealed: 0, quarantined: 0 };

class Checker {
  readonly #child: ChildProcessWithoutNullStreams;
  #answer: ((answer: Answer) => void) | undefined;

  constructor() {
    this.#child = spawn(process.execPath, [join(programs, "damage-check.mjs")]);
    this.#child.stdin.on("error", () => {});
    this.#child.stderr.resume();
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#say(JSON.parse(line)));
    this.#child.on("exit", (code, signal) => {
      this.#say({ error: `the process ended with ${signal ?? code}`, delivered: {}, gaps: {}, quarantined: 0 });
    });
  }
  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }
  look(dir: string): Promise<Answer> {
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#child.stdin.write(`${JSON.stringify({ dir })}\n`);
    });
  }
  close(): void {
    this.#child.kill("SIGKILL");
  }
  #say(answer: Answer): void {
    this.#answer?.(answer);
    this.#answer = undefined;
  }
}

interface Store {
  readonly dir: string;
  readonly stored: Stored;
  readonly kind: string;
}

let checker = new Checker();
let stores: Store[] = [];
let copies = 0;

async function made(kind: "closed" | "killed", seed: number): Promise<Store> {
  const dir = join(home.path, `${kind}-${seed}`);
  const report = `${dir}.json`;
  const options = { dataDir: dir, report, seed, close: kind === "closed" };
  const child = new Process(process.execPath, [join(programs, "damage-store.mjs"), JSON.stringify(options)]);
  await child.line(/^ready/, 30_000);
  await child.stop("SIGKILL");
  return { dir, stored: JSON.parse(readFileSync(report, "utf8")) as Stored, kind };
}

/** What version 0.1 made of a store: every second segment and the newest were opened with LevelDB. */
async function withTables({ dir, stored }: Store): Promise<Store> {
  const copy = `${dir}-tables`;
  cpSync(dir, copy, { recursive: true });
  for (const stream of STREAMS) {
    const segments = segmentsOf(copy, stream);
    for (const [index, segment] of segments.entries()) {
      if (index % 2 === 1 && index < segments.length - 1) continue;
      const db = new ClassicLevel(segment, { compression: false });
      await db.open();
      await db.close();
    }
  }
  return { dir: copy, stored, kind: "tables" };
}

/** Segments to damage: the one in which cursors stand, one behind it, the newest. */
function targets(dir: string, stream: StreamName): string[] {
  const all = segmentsOf(dir, stream);
  return [...new Set([all[0], all[2], all.at(-1)])].filter((segment) => segment !== undefined);
}

function damagesFor(file: string): readonly Damage[] {
  if (/\.(log|ldb)$/.test(file)) return forData;
  return file === "SEAL.json" ? forState : forOthers;
}

/** The seqs that a segment has, by its name and that of the next. */
function rangeOf(segment: string, dir: string, stream: StreamName): readonly [number, number] {
  const all = segmentsOf(dir, stream).map((path) => Number(basename(path).split("-")[0]));
  const from = Number(basename(segment).split("-")[0]);
  return [from, (all.find((other) => other > from) ?? Number.POSITIVE_INFINITY) - 1];
}

interface Case {
  readonly what: string;
  readonly apply: (dir: string) => void;
  readonly within: Parameters<typeof judge>[2];
  readonly sealed: boolean;
}

function casesOf({ dir, kind }: Store, random: Random): Case[] {
  const cases: Case[] = [];
  const add = (path: string, { name, apply }: Damage, more: Pick<Case, "within" | "sealed">) => {
    const own = new Random(random.whole(0, 2 ** 31));
    const what = `${kind} ${path || "store"}: ${name}`;
    cases.push({ what, apply: (copy) => apply(join(copy, path), own), ...more });
  };
  for (const stream of STREAMS) {
    for (const segment of targets(dir, stream)) {
      const within = { [stream]: rangeOf(segment, dir, stream) };
      const sealed = isSealed(segment);
      const path = join("queue", stream, basename(segment));
      const newest = segment === segmentsOf(dir, stream).at(-1);
      for (const file of readdirSync(segment)) {
        // Nothing but records and seals is read in any of them.
        if (!newest && !/\.(ldb|log)$|^SEAL/.test(file)) continue;
        if (statSync(join(segment, file)).size === 0) continue;
        for (const damage of damagesFor(file))
          add(join(path, file), damage, { within, sealed: sealed && file !== "SEAL.json" });
      }
    }
  }
  if (kind === "tables") return cases;
  for (const { path, damage } of besideSegments(dir)) add(path, damage, { within: {}, sealed: false });
  return cases;
}

/** State and whole pieces of the store. */
function besideSegments(dir: string): { path: string; damage: Damage }[] {
  const state = readdirSync(join(dir, "state")).filter((file) => file !== "lock");
  const lock = readdirSync(join(dir, "state", "lock"));
  return [
    ...state.flatMap((file) => forState.map((damage) => ({ path: join("state", file), damage }))),
    ...lock.flatMap((file) => forOthers.map((damage) => ({ path: join("state", "lock", file), damage }))),
    ...places.map((damage) => ({ path: "", damage })),
  ];
}

/** A damaged copy of a store. */
function damaged({ dir }: Store, one: Case | undefined): string {
  const copy = join(home.path, `copy-${++copies}`);
  if (!one) return copy;
  cpSync(dir, copy, { recursive: true });
  one.apply(copy);
  return copy;
}

/** Runs all cases, and makes the next copy while a store is looked at. Gives what went wrong. */
async function runAll(store: Store, cases: readonly Case[], seed: number): Promise<string[]> {
  const failures: string[] = [];
  let copy = damaged(store, cases[0]);
  for (const [index, one] of cases.entries()) {
    if (!checker.alive) checker = new Checker();
    const looking = checker.look(copy);
    const next = damaged(store, cases[index + 1]);
    const answer = await looking;
    rmSync(copy, { recursive: true, force: true });
    copy = next;
    try {
      check(store, one, answer, seed);
    } catch (error) {
      failures.push(String(error));
    }
  }
  return failures;
}

function check({ stored }: Store, { what, within, sealed }: Case, answer: Answer, seed: number): void {
  const where = `${what}, MILLRACE_SEED=${seed}`;
  figures.cases++;
  expect(answer.error, where).toBeUndefined();
  figures.started++;
  const verdict = judge(stored, answer, within);
  figures.missing += verdict.missing;
  figures.unreported += verdict.unreported.length;
  figures.quarantined += answer.quarantined;
  figures.inexact += verdict.inexact;
  if (sealed) figures.inexactSealed += verdict.inexact;
  const { unreported, outside, wrong, miscounted } = verdict;
  const faults = [...unreported, ...outside, ...wrong, ...miscounted].length;
  expect(faults, `${where}: ${JSON.stringify({ unreported, outside, wrong, miscounted })}`).toBe(0);
  if (sealed) expect(verdict.inexact, where).toBe(0);
}

afterAll(() => {
  checker.close();
  if (process.env["MILLRACE_KEEP"]) console.log(home.path);
  else home.remove();
  console.log(JSON.stringify({ suite: "damage-matrix", rounds, seed: first, ...figures }));
});

describe.each(Array.from({ length: rounds }, (_, round) => first + round))("a damaged store, seed %i", (seed) => {
  beforeAll(async () => {
    const closed = await made("closed", seed);
    const killed = await made("killed", seed);
    stores = [closed, killed, await withTables(killed)];
    for (const { dir } of stores)
      for (const stream of STREAMS) expect(segmentsOf(dir, stream).length).toBeGreaterThan(3);
  });

  it.each(["closed", "killed", "tables"])("that was %s starts, delivers the rest and tells the loss", async (kind) => {
    const store = stores.find((found) => found.kind === kind) ?? expect.fail();
    const failures = await runAll(store, casesOf(store, new Random(seed)), seed);
    expect(failures.join("\n\n").slice(0, 20_000)).toBe("");
  });
});
