// All benchmarks, one after the other: each runs both sides of its claim and prints their ratio. --short for CI.
const names = [
  "append",
  "fan-in",
  "full-load",
  "drain",
  "two-uplinks",
  "fleet",
  "rabbitmq",
  "kafka",
  "activemq",
  "zeromq",
  "live-first",
  "slow-link",
  "start",
  "backlog",
  "write-amplification",
  "planner",
  "plan",
  "guess",
  "line",
  "shape",
  "recorder",
  "scale",
  "requests",
];
/** No benchmark takes half of this; one that hangs must not take the others with it. */
const LIMIT_MS = process.argv.includes("--short") ? 5 * 60_000 : 60 * 60_000;

/** @throws what the benchmark throws, or that it did not end in time */
async function bounded(run) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`did not end within ${LIMIT_MS / 60_000} min`)), LIMIT_MS);
  });
  try {
    return await Promise.race([run(), late]);
  } finally {
    clearTimeout(timer);
  }
}

const failed = [];
let passed = 0;
let skipped = 0;
/** Measures whole gateways against a prediction: on a busy machine it says nothing. */
const LONG = new Set(["plan"]);
for (const name of names) {
  if (process.argv.includes("--short") && LONG.has(name)) continue;
  console.log(`\n# ${name}`);
  const began = performance.now();
  try {
    const { run } = await import(`./${name}.mjs`);
    if ((await bounded(run)) === "skipped") skipped += 1;
    else passed += 1;
  } catch (error) {
    console.error(error);
    failed.push(`${name}: ${error instanceof Error ? error.message : error}`);
  }
  console.log(`(${name}: ${Math.round((performance.now() - began) / 1000)} s)`);
}
if (skipped > 0) console.log(`${skipped} skipped`);
// Said again at the end, where it is looked for.
for (const told of failed) console.log(`failed: ${told}`);
console.log(`${passed} passed, ${failed.length} failed`);
// What a failed benchmark left open (a server, a subscriber) does not keep this process.
process.exit(failed.length > 0 ? 1 : 0);
