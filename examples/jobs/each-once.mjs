// What consumer.mjs and stock.mjs share: messages out of RabbitMQ into PostgreSQL, many in one transaction, acknowledged after it, so that
// nothing is lost when the program, RabbitMQ or the database is killed.
import { setTimeout as pause } from "node:timers/promises";
import { connect } from "amqplib";
import pg from "pg";

const { AMQP_URL = "amqp://127.0.0.1:5672", DATABASE_URL } = process.env;

/** Until one of both ends is lost. */
async function run(queue, tables, write) {
  const db = new pg.Client(DATABASE_URL);
  let lost = () => {};
  const ended = new Promise((_, reject) => {
    lost = reject;
  });
  ended.catch(() => {});
  db.on("error", lost);
  await db.connect();
  await db.query(tables);
  const model = await connect(AMQP_URL);
  model.on("error", lost);
  model.on("close", () => lost(new Error("RabbitMQ closed the connection")));
  try {
    const channel = await model.createChannel();
    channel.on("error", lost);
    await channel.prefetch(200);
    let waiting = [];
    let turn = Promise.resolve();
    // All that came while the last transaction was written goes into the next.
    const next = async () => {
      const batch = waiting.splice(0);
      if (batch.length === 0) return;
      await db.query("BEGIN");
      for (const message of batch) await write(db, message);
      await db.query("COMMIT");
      channel.ack(batch.at(-1), true);
    };
    await channel.consume(queue, (message) => {
      if (!message) return lost(new Error("the queue was removed"));
      waiting.push(message);
      turn = turn.then(next).catch((error) => {
        waiting = [];
        lost(error);
      });
    });
    process.stdout.write("consuming\n");
    await ended;
  } finally {
    await model.close().catch(() => {});
    await db.end().catch(() => {});
  }
}

/** Calls `write` with a database client and each message, for ever. */
export async function consume(queue, tables, write) {
  for (;;) {
    await run(queue, tables, write).catch((error) => process.stderr.write(`${error.message}\n`));
    await pause(1000);
  }
}
