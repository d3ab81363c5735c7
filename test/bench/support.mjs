// What the benchmarks share: paired rounds, their ratio, and processes on loopback.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const main = join(root, "dist", "gateway", "main.js");
export const short = process.argv.includes("--short");
/** Interleaved A/B rounds of each claim. */
export const rounds = short ? 2 : 5;

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const figure = (value) => (Math.abs(value) >= 100 ? Math.round(value).toLocaleString("en") : value.toFixed(2));

/**
 * Runs both sides `rounds` times, in turn and in changing order, and prints the median of the ratios a/b with its least
 * and greatest.
 * @returns {Promise<{ratio: number, min: number, max: number, a: number, b: number}>}
 */
export async function compare(title, unit, nameA, sideA, nameB, sideB, times = rounds) {
  const ratios = [];
  const as = [];
  const bs = [];
  for (let round = 0; round < times; round += 1) {
    let a;
    let b;
    if (round % 2 === 0) {
      a = await sideA(round);
      b = await sideB(round);
    } else {
      b = await sideB(round);
      a = await sideA(round);
    }
    as.push(a);
    bs.push(b);
    ratios.push(a / b);
  }
  const result = {
    ratio: median(ratios),
    min: Math.min(...ratios),
    max: Math.max(...ratios),
    a: median(as),
    b: median(bs),
  };
  console.log(
    `${title}: ratio ${result.ratio.toFixed(2)} (${result.min.toFixed(2)} to ${result.max.toFixed(2)}, ${times} rounds): ` +
      `${nameA} ${figure(result.a)} ${unit}, ${nameB} ${figure(result.b)} ${unit}`,
  );
  return result;
}

export function scratch(name) {
  const path = mkdtempSync(join(tmpdir(), `millrace-bench-${name}-`));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export async function answers(port, timeoutMs = 10_000) {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const ok = await new Promise((resolve) => {
      const socket = connect(port, "127.0.0.1");
      socket.once("connect", () => {
        socket.destroy();
        resolve(true);
      });
      socket.once("error", () => resolve(false));
    });
    if (ok) return;
    if (performance.now() > deadline) throw new Error(`nothing answers on port ${port}`);
    await pause(20);
  }
}

/** A child process; `line(pattern)` waits for a line of its output, `stop()` ends it and waits. */
export function launch(command, args, env = {}) {
  const child = spawn(command, args, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, UV_THREADPOOL_SIZE: "16", ...env },
  });
  const lines = [];
  const waiting = new Set();
  const exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve(signal ?? code)));
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (text) => {
      lines.push(text);
      for (const wait of waiting) wait(text);
    });
  }
  return {
    child,
    lines,
    exited,
    line(pattern, timeoutMs = 120_000) {
      const known = lines.find((text) => pattern.test(text));
      if (known !== undefined) return Promise.resolve(known);
      return new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => done(reject, new Error(`no line like ${pattern}:\n${lines.slice(-10).join("\n")}`)),
          timeoutMs,
        );
        const wait = (text) => pattern.test(text) && done(resolve, text);
        const done = (settle, value) => {
          clearTimeout(timer);
          waiting.delete(wait);
          settle(value);
        };
        waiting.add(wait);
        void exited.then(() =>
          done(reject, new Error(`ended before a line like ${pattern}:\n${lines.slice(-10).join("\n")}`)),
        );
      });
    },
    async stop(signal = "SIGTERM") {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      return await exited;
    },
  };
}

/** `millrace run` with this configuration, ready; milliseconds from the start of the process to ready. */
export async function gateway(folder, yaml) {
  const file = join(folder, "millrace.yaml");
  writeFileSync(file, yaml);
  const begun = performance.now();
  const started = launch(process.execPath, [main, "run", "-c", file]);
  await started.line(/"msg":"gateway started"/);
  return { ...started, startMs: performance.now() - begun };
}

/** Until the queue in `dataDir` has made its reserve for a full disk, as it does once in its life: it is not what is measured. */
export async function reserveMade(dataDir) {
  for (let n = 0; n < 400 && !existsSync(join(dataDir, "queue", "reserve")); n++) await pause(50);
}
