// Gives production orders to a line through RabbitMQ and follows them: begun, parts made, complete. An order is given again, under
// a new id, only when its result says that it was not begun, or nobody can tell and the PLC has not taken it.
//   npm install amqplib
//   AMQP_URL=amqp://127.0.0.1:5672 node planner.mjs press-1 line-1/press-1 1..20 50
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "amqplib";

const { AMQP_URL = "amqp://127.0.0.1:5672", PATIENCE_MS = "10000" } = process.env;
const [device = "press-1", topic = "line-1/press-1", range = "1..3", quantity = "10"] = process.argv.slice(2);
const [first, last] = range.split("..").map(Number);
const HOUR = 3_600_000;
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

/** By number: how often it was given, and what is known of it. */
const orders = new Map();
for (let number = first; number <= last; number++) orders.set(number, { given: 0, state: "new", sinceMs: 0 });

function become(number, state, more = {}) {
  const order = orders.get(number);
  if (order === undefined || order.state === state || order.state === "complete") return;
  orders.set(number, { ...order, state, sinceMs: Date.now() });
  say({ order: number, state, ...more });
}

/** The result of a command: what the PLC itself says counts for more. */
function result({ id, ok, unknown, error }) {
  const number = Number(/^order-(\d+)-/.exec(id)?.[1]);
  if (["begun", "complete"].includes(orders.get(number)?.state)) return;
  become(number, ok ? "begun" : unknown ? "unknown" : "refused", ok ? {} : { error });
}

/** Changes of the PLC's tags. */
function values({ current, made, complete }) {
  if (current) {
    // The line makes one at a time: what it had before is complete, also where nobody looked when it said so.
    for (const [number, { state }] of orders) if (state === "begun" && number !== current) become(number, "complete");
    become(current, "begun");
  }
  if (made) say({ made });
  if (complete) become(complete, "complete");
}

/** Each may come twice. */
function hear({ content, fields }) {
  const body = JSON.parse(content.toString());
  if (fields.routingKey === `cmd.${device}.result`) result(body);
  else values(body.values ?? {});
}

async function run() {
  const model = await connect(AMQP_URL);
  let open = true;
  model.on("error", () => {});
  model.on("close", () => {
    open = false;
  });
  const channel = await model.createConfirmChannel();
  channel.on("error", () => {});
  const queue = { durable: true, arguments: { "x-queue-type": "quorum" } };
  await channel.assertQueue("orders", queue);
  await channel.assertExchange("planning", "topic", { durable: true });
  await channel.bindQueue("orders", "planning", "order.#");
  await channel.assertExchange("records", "topic", { durable: true });
  await channel.assertQueue("followed", queue);
  for (const key of [`cmd.${device}.result`, topic.replaceAll("/", ".")])
    await channel.bindQueue("followed", "records", key);
  await channel.consume("followed", (message) => {
    if (!message) return;
    hear(message);
    channel.ack(message);
  });
  while (open && [...orders.values()].some(({ state }) => state !== "complete")) {
    for (const [number, order] of orders) {
      const again = ["unknown", "refused"].includes(order.state) && Date.now() - order.sinceMs > Number(PATIENCE_MS);
      if (order.state !== "new" && !again) continue;
      const given = order.given + 1;
      const command = {
        id: `order-${number}-${given}`,
        expires: Date.now() + HOUR,
        recipe: "order",
        values: { orderNo: number, quantity: Number(quantity) },
      };
      channel.publish("planning", `order.${device}`, Buffer.from(JSON.stringify(command)), { persistent: true });
      await channel.waitForConfirms();
      orders.set(number, { given, state: "given", sinceMs: Date.now() });
      say({ order: number, state: "given", id: command.id });
    }
    await pause(200);
  }
  await model.close().catch(() => {});
}

while ([...orders.values()].some(({ state }) => state !== "complete")) {
  await run().catch((error) => process.stderr.write(`${error.message}\n`));
  await pause(500);
}
say({ complete: orders.size });
