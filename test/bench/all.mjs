// All benchmarks, one after the other: each runs both sides of its claim and prints their ratio. --short for CI.
const names = ["append", "fan-in", "drain", "live-first", "start", "backlog", "write-amplification", "planner"];
let failed = 0;
let passed = 0;
let skipped = 0;
for (const name of names) {
  console.log(`\n# ${name}`);
  try {
    const { run } = await import(`./${name}.mjs`);
    if ((await run()) === "skipped") skipped += 1;
    else passed += 1;
  } catch (error) {
    console.error(error);
    failed += 1;
  }
}
if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
