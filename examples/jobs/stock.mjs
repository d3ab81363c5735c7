// Books movements of material: each once, however often its terminal said it or RabbitMQ gave it. A movement is known by its terminal and
// the number that this gave it; what a terminal says again after a power cut has another record id, and the same number.
//   npm install amqplib pg
//   AMQP_URL=amqp://127.0.0.1:5672 QUEUE=materials DATABASE_URL=postgres://user:password@127.0.0.1/plant node stock.mjs
import { consume } from "./each-once.mjs";

const { QUEUE = "materials" } = process.env;
const TABLES = `
CREATE TABLE IF NOT EXISTS movements (
  terminal text, number bigint, item text, origin text, target text, quantity numeric, at timestamptz, record text,
  PRIMARY KEY (terminal, number));
CREATE TABLE IF NOT EXISTS stock (item text, location text, quantity numeric, PRIMARY KEY (item, location));
CREATE TABLE IF NOT EXISTS unreadable (record text PRIMARY KEY, body jsonb);`;

const BOOK = `
INSERT INTO stock VALUES ($1, $2, $3)
ON CONFLICT (item, location) DO UPDATE SET quantity = stock.quantity + EXCLUDED.quantity`;

await consume(QUEUE, TABLES, async (db, { content, fields, properties: { headers = {} } }) => {
  const { id } = headers;
  const body = JSON.parse(content.toString());
  if (id === undefined || body.values === undefined) return;
  const { number, item, from, to, quantity } = body.values;
  if ([number, item, from, to, quantity].includes(undefined)) {
    // Its terminal or its line says nothing that can be booked, such as "link down".
    await db.query("INSERT INTO unreadable VALUES ($1, $2) ON CONFLICT DO NOTHING", [id, JSON.stringify(body)]);
    return;
  }
  const terminal = fields.routingKey.split(".").at(-1);
  const movement = [terminal, number, item, from, to, quantity, new Date(body.ts), id];
  const booked = await db.query(
    "INSERT INTO movements VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
    movement,
  );
  if (booked.rowCount === 0) return;
  await db.query(BOOK, [item, from, -quantity]);
  await db.query(BOOK, [item, to, quantity]);
});
