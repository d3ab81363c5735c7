import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { SerialPort } from "serialport";
import { afterAll, expect, it } from "vitest";
import { postgres } from "../support/postgres.ts";
import { freePort, Process, ptyPair, root, scratch, startGateway, until } from "../support/processes.ts";
import { rabbitMq } from "../support/rabbitmq.ts";
import { Random, seedOf } from "../support/random.ts";

/**
 * Movements of material: two terminals and a scale on pseudo-terminals say each movement again until they are told that it arrived; the
 * gateway with examples/jobs/materials.yaml, RabbitMQ, and examples/jobs/stock.mjs into PostgreSQL. Gateway, broker, consumer and
 * database are killed in random order. The stock is what the confirmed movements make it.
 */
const EACH = Number(process.env["MILLRACE_MOVEMENTS"] ?? 60);
const AGAIN_MS = 150;
const random = new Random(seedOf(process.env["MILLRACE_SEED"]));
const home = scratch("materials");
const cleanUp: (() => unknown)[] = [];
afterAll(async () => {
  for (const step of cleanUp.reverse()) await step();
  home.remove();
});

interface Movement {
  readonly item: string;
  readonly from: string;
  readonly to: string;
  /** In thousandths, so that sums are exact. */
  readonly milli: number;
}

const PLACES = ["goods-in", "rack-1", "rack-2", "mixer", "goods-out"];

function movement(scale: boolean): Movement {
  const [from, to] = random.shuffled(PLACES);
  const item = `${scale ? "granulate" : "pallet"}-${random.whole(1, 4)}`;
  return { item, from: from ?? "", to: to ?? "", milli: scale ? random.whole(1, 99_999) : 1000 * random.whole(1, 9) };
}

/** A terminal: says one movement after the other, each until it is confirmed. */
class Terminal {
  readonly confirmed: Movement[] = [];
  said = 0;
  #heard = "";
  #refused = 0;
  readonly #port: SerialPort;
  readonly #letter: string;

  constructor(path: string, letter: string) {
    this.#letter = letter;
    this.#port = new SerialPort({ path, baudRate: 115_200 });
    this.#port.on("error", () => {});
    this.#port.on("data", (chunk: Buffer) => {
      this.#heard += chunk.toString("latin1");
    });
  }

  get refused(): number {
    return this.#refused;
  }

  async work(movements: readonly Movement[]): Promise<void> {
    for (const [index, one] of movements.entries()) {
      const number = String(index + 1).padStart(6, "0");
      const quantity = this.#letter === "W" ? (one.milli / 1000).toFixed(3) : String(one.milli / 1000);
      const text = `${this.#letter};${number};${one.item};${one.from};${one.to};${quantity}\r\n`;
      // A cable is noisy now and then, and a person scans twice.
      const noise = random.whole(0, 9);
      if (noise === 0) this.#port.write("\x00\xffM;?;\r\n");
      if (noise === 1) this.#port.write(text);
      while (!this.#heard.includes(`A;${number}\r\n`)) {
        this.said++;
        this.#port.write(text);
        for (let ms = 0; ms < AGAIN_MS && !this.#heard.includes(`A;${number}\r\n`); ms += 5) await pause(5);
      }
      this.#refused += this.#heard.split("R;").length - 1;
      this.#heard = "";
      this.confirmed.push(one);
      await pause(random.whole(0, 150));
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#port.close(() => resolve()));
  }
}

/** What the movements make of an empty stock. */
function stockOf(movements: readonly Movement[]): Map<string, number> {
  const stock = new Map<string, number>();
  for (const { item, from, to, milli } of movements) {
    for (const [place, change] of [
      [from, -milli],
      [to, milli],
    ] as const)
      stock.set(`${item} ${place}`, (stock.get(`${item} ${place}`) ?? 0) + change);
  }
  return stock;
}

it(`materials: the stock is exact over what was confirmed, through kills and repetitions (seed ${random.seed})`, async () => {
  const [rabbit, database] = await Promise.all([rabbitMq(join(home.path, "rabbit")), postgres()]);
  cleanUp.push(
    () => rabbit.stop(),
    () => database.stop(),
  );
  const names = ["terminal-1", "terminal-2", "scale-1"];
  const lines = await Promise.all(
    names.map(async (name) => {
      const folder = scratch(name);
      const pair = await ptyPair(folder.path);
      cleanUp.push(
        () => folder.remove(),
        () => pair.stop(),
      );
      return pair;
    }),
  );
  const [local, http] = [await freePort(), await freePort()];
  const file = join(home.path, "millrace.yaml");
  let text = readFileSync(join(root, "examples/jobs/materials.yaml"), "utf8")
    .replace(
      "dataDir: ./data }",
      `dataDir: ${join(home.path, "data")} }\nqueue: { minFree: 16MiB }\nhttp: { port: ${http} }\nbroker: { listeners: [ { port: ${local} } ] }`,
    )
    .replace("127.0.0.1:5672", `127.0.0.1:${rabbit.port}`);
  for (const [at, name] of names.entries()) {
    expect(text).toContain(`usb-${name},`);
    text = text.replace(`/dev/serial/by-id/usb-${name}`, lines[at]?.a ?? "");
  }
  writeFileSync(file, text);
  let gateway = await startGateway(file);
  cleanUp.push(() => gateway.stop());
  const env = { AMQP_URL: `amqp://127.0.0.1:${rabbit.port}`, QUEUE: "materials", DATABASE_URL: database.url };
  const consume = () => new Process(process.execPath, [join(root, "examples/jobs/stock.mjs")], { env, cwd: root });
  let consumer = consume();
  cleanUp.push(() => consumer.stop("SIGKILL"));

  const terminals = lines.map(({ b }, at) => new Terminal(b, at === 2 ? "W" : "M"));
  cleanUp.push(...terminals.map((terminal) => () => terminal.close()));
  const plans = terminals.map((_, at) => Array.from({ length: EACH }, () => movement(at === 2)));
  const working = Promise.all(terminals.map((terminal, at) => terminal.work(plans[at] ?? [])));
  const kills = random.shuffled(["gateway", "gateway", "gateway", "rabbit", "consumer", "database", "consumer"]);
  for (const what of kills) {
    await pause(random.whole(300, 1200));
    if (what === "gateway") {
      await gateway.stop("SIGKILL");
      await pause(random.whole(0, 500));
      gateway = await startGateway(file);
    } else if (what === "consumer") {
      await consumer.stop("SIGKILL");
      consumer = consume();
    } else await (what === "rabbit" ? rabbit : database).restart();
  }
  await working;

  const confirmed = terminals.flatMap((terminal) => terminal.confirmed);
  expect(confirmed).toHaveLength(3 * EACH);
  const one = async (sql: string) => Number(Object.values((await database.ask(sql))[0] ?? {})[0]);
  const count = "SELECT count(*) FROM movements";
  await until("all movements are booked", async () => (await one(count).catch(() => 0)) >= 3 * EACH, 120_000);
  expect(await gateway.stop()).toBe(0);
  const rows = (await database.ask(readFileSync(join(root, "examples/jobs/stock.sql"), "utf8"))) as {
    item: string;
    location: string;
    quantity: string;
    difference: string;
  }[];
  const expected = stockOf(confirmed);
  const differences = rows.filter(
    ({ item, location, quantity, difference }) =>
      Math.round(Number(quantity) * 1000) !== expected.get(`${item} ${location}`) || Number(difference) !== 0,
  );
  const said = terminals.reduce((sum, terminal) => sum + terminal.said, 0);
  process.stdout.write(
    `materials: ${confirmed.length} confirmed of ${said} said, ${await one(count)} movements, ${rows.length} stocks by item and place in ` +
      `PostgreSQL ${database.version}, wrong ${differences.length}; kills: ${kills.join(", ")}\n`,
  );
  expect(differences).toEqual([]);
  expect(rows).toHaveLength(expected.size);
  expect(await one(count)).toBe(confirmed.length);
}, 300_000);
