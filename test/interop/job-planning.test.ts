import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, expect, it } from "vitest";
import { CountingPlc } from "../support/counting-plc.ts";
import { Cutter } from "../support/cutter.ts";
import { freePort, Process, root, scratch, startGateway, until } from "../support/processes.ts";
import { rabbitMq } from "../support/rabbitmq.ts";
import { Random, seedOf } from "../support/random.ts";

/**
 * Production orders: the planner of examples/jobs gives them to RabbitMQ, the gateway with examples/jobs/planning.yaml to a PLC, which is
 * off when they come. The gateway is killed at random moments, and RabbitMQ once. The PLC counts what it makes.
 */
const ORDERS = Number(process.env["MILLRACE_ORDERS"] ?? 12);
const QUANTITY = 3;
const PART_MS = 60;
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("planning");
const cleanUp: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const step of cleanUp.reverse()) await step();
  home.remove();
});

/** The PLC's program: takes an order when it has none, makes its parts, says so. */
function program(plc: CountingPlc, produced: Map<number, number>): () => void {
  const [ORDER, READY, TAKEN, CURRENT, MADE, COMPLETE] = [1, 4, 6, 9, 11, 13];
  let partMs = 0;
  const timer = setInterval(() => {
    const at = plc.registers;
    if (at[READY] === 0) at[TAKEN] = 0;
    if (at[READY] === 1 && at[TAKEN] === 0 && at[CURRENT] === 0) {
      const order = at[ORDER] ?? 0;
      at[TAKEN] = 1;
      at[CURRENT] = order;
      at[MADE] = 0;
      partMs = Date.now();
      produced.set(order, (produced.get(order) ?? 0) + 1);
    }
    if (at[CURRENT] === 0 || Date.now() - partMs < PART_MS) return;
    partMs = Date.now();
    at[MADE] = (at[MADE] ?? 0) + 1;
    // Long enough to be seen by who looks every 100 ms.
    if ((at[MADE] ?? 0) < QUANTITY + 5) return;
    at[COMPLETE] = at[CURRENT] ?? 0;
    at[CURRENT] = 0;
  }, 10);
  return () => clearInterval(timer);
}

it(`planning: each order is made exactly once, over kills and a line that is off (seed ${random.seed})`, async () => {
  const rabbit = await rabbitMq(join(home.path, "rabbit"));
  cleanUp.push(() => rabbit.stop());
  const plc = new CountingPlc();
  const produced = new Map<number, number>();
  const stopProgram = program(plc, produced);
  const cable = new Cutter(await plc.listen());
  const device = await cable.listen();
  cleanUp.push(
    async () => stopProgram(),
    () => plc.stop(),
    () => cable.stop(),
  );
  const [local, http] = [await freePort(), await freePort()];
  const file = join(home.path, "millrace.yaml");
  const example = readFileSync(join(root, "examples/jobs/planning.yaml"), "utf8")
    .replace(
      "dataDir: ./data }",
      `dataDir: ${join(home.path, "data")} }\nqueue: { minFree: 16MiB }\nhttp: { port: ${http} }\nbroker: { listeners: [ { port: ${local} } ] }`,
    )
    .replace("port: 5020", `port: ${device}`)
    .replace("127.0.0.1:5672", `127.0.0.1:${rabbit.port}`);
  writeFileSync(file, example);

  // The line is off.
  cable.cut();
  const env = { AMQP_URL: `amqp://127.0.0.1:${rabbit.port}`, PATIENCE_MS: "4000" };
  const args = [join(root, "examples/jobs/planner.mjs"), "press-1", "line-1/press-1", `1..${ORDERS}`, String(QUANTITY)];
  const planner = new Process(process.execPath, args, { env, cwd: root });
  cleanUp.push(() => planner.stop("SIGKILL"));
  await until(
    "all orders given",
    () => planner.lines.filter((line) => line.includes('"given"')).length >= ORDERS,
    60_000,
  );
  let gateway = await startGateway(file);
  cleanUp.push(() => gateway.stop());
  await gateway.line(/accepting what comes down/, 30_000);
  await pause(3000);
  expect(produced.size).toBe(0);
  await gateway.stop("SIGKILL");
  gateway = await startGateway(file);
  cable.mend();
  await until("the first order made", () => produced.size > 0, 60_000).catch((error: unknown) => {
    throw new Error(
      `${error}\n${planner.lines.slice(-6).join("\n")}\n${gateway.lines.slice(-12).join("\n")}\n${[...plc.registers.subarray(0, 14)].join(" ")}`,
    );
  });
  for (let kill = 0; kill < 4; kill++) {
    await pause(random.whole(200, 1800));
    await gateway.stop("SIGKILL");
    gateway = await startGateway(file);
  }
  await rabbit.restart();
  await until("all orders complete", () => !planner.running, 120_000).catch((error: unknown) => {
    throw new Error(
      `${error}\n${planner.lines
        .filter((line) => !line.includes("made"))
        .slice(-40)
        .join("\n")}\n${gateway.lines.slice(-8).join("\n")}`,
    );
  });

  const count = (state: string) => planner.lines.filter((line) => line.includes(`"state":"${state}"`)).length;
  const numbers = Array.from({ length: ORDERS }, (_, n) => n + 1);
  process.stdout.write(
    `planning: ${ORDERS} orders, made ${[...produced.values()].reduce((a, b) => a + b, 0)}, twice ${numbers.filter((n) => (produced.get(n) ?? 0) > 1).length}, ` +
      `never ${numbers.filter((n) => !produced.has(n)).length}; given ${count("given")} times, unknown ${count("unknown")}, refused ${count("refused")}; 5 kills\n`,
  );
  expect(numbers.map((n) => produced.get(n))).toEqual(numbers.map(() => 1));
  expect(planner.lines.at(-1)).toBe(JSON.stringify({ complete: ORDERS }));
}, 300_000);
