// Takes records out of RabbitMQ and writes them into PostgreSQL: each once, however often it comes. A message is acknowledged
// after its transaction, so that nothing is lost when this program or the database is killed.
//   npm install amqplib pg
//   AMQP_URL=amqp://127.0.0.1:5672 QUEUE=records DATABASE_URL=postgres://user:password@127.0.0.1/plant node consumer.mjs
import { consume } from "./each-once.mjs";

const { QUEUE = "records" } = process.env;
// With TimescaleDB: SELECT create_hypertable('samples', 'at'), and (record, tag, at) as the key.
const TABLES = `
CREATE TABLE IF NOT EXISTS records (
  gateway text, stream text, epoch text, seq bigint, chain text, prev bigint, topic text, body jsonb,
  PRIMARY KEY (gateway, stream, epoch, seq));
CREATE TABLE IF NOT EXISTS gaps (
  gateway text, stream text, epoch text, chain text, first bigint, last bigint, count bigint, reason text,
  PRIMARY KEY (gateway, stream, epoch, chain, first, last));
CREATE TABLE IF NOT EXISTS samples (
  record text, tag text, at timestamptz, topic text, value double precision, PRIMARY KEY (record, tag));`;

/** Writes what one message says. */
async function write(db, { content, fields, properties: { headers = {} } }) {
  const { id, chain, prev } = headers;
  const topic = fields.routingKey.replaceAll(".", "/");
  const body = JSON.parse(content.toString());
  if (body.type === "gap") {
    const { gateway, stream, epoch, from, to, count, reason } = body;
    await db.query("INSERT INTO gaps VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT DO NOTHING", [
      ...[gateway, stream, epoch, body.chain, from, to, count, reason],
    ]);
  }
  if (id === undefined) return;
  const [gateway, stream, epoch, seq] = id.split("/");
  await db.query("INSERT INTO records VALUES ($1,$2,$3,$4,$5,$6,$7,$8) ON CONFLICT DO NOTHING", [
    ...[gateway, stream, epoch, seq, chain, prev, topic, JSON.stringify(body)],
  ]);
  for (const [tag, value] of Object.entries(body.values ?? {})) {
    if (typeof value !== "number") continue;
    const row = [id, tag, new Date(body.ts), topic, value];
    await db.query("INSERT INTO samples VALUES ($1,$2,$3,$4,$5) ON CONFLICT DO NOTHING", row);
  }
}

await consume(QUEUE, TABLES, write);
