import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { KAFKA_VERSION, kafkaServer } from "../support/kafka.ts";
import { freePort, millrace, Process, root, scratch, until } from "../support/processes.ts";

/**
 * The fleet of examples/fleet: three gateways into one Kafka topic, two readers of one consumer group. A gateway, a reader and the
 * cluster are killed meanwhile; `millrace verify` over both readers' files proves each gateway's records, and each device is in order.
 */
const home = scratch("fleet");
const cleanUp: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const step of cleanUp.reverse()) await step();
  home.remove();
});

interface Line {
  readonly topic: string;
  readonly partition: number;
  readonly properties: Readonly<Record<string, string>>;
}

/** Whole lines of one reader's file, without the empty ones. */
function linesOf(file: string): Line[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .flatMap((text): Line[] => {
      try {
        return text === "" ? [] : [JSON.parse(text) as Line];
      } catch {
        return [];
      }
    });
}

/** Records that came for the first time after a later one of the same device and lane. */
function firstsOutOfOrder(lines: readonly Line[]): string[] {
  const seen = new Set<string>();
  const last = new Map<string, number>();
  return lines.flatMap(({ topic, properties: { id, historical } }) => {
    if (id === undefined || seen.has(id)) return [];
    seen.add(id);
    const way = `${topic} ${id.split("/").slice(0, 3).join("/")} ${historical ?? ""}`;
    const seq = Number(id.split("/")[3]);
    const late = seq < (last.get(way) ?? 0);
    last.set(way, Math.max(seq, last.get(way) ?? 0));
    return late ? [id] : [];
  });
}

it("a fleet of three: every record of each gateway, once by id, each device in one partition and in order", async () => {
  const kafka = await kafkaServer(join(home.path, "kafka"));
  cleanUp.push(() => kafka.stop());
  const admin = kafka.client().admin();
  await admin.connect();
  await admin.createTopics({ waitForLeaders: true, topics: [{ topic: "fleet", numPartitions: 6 }] });
  await admin.disconnect();
  const env = {
    BROKERS: kafka.broker,
    FLEET: join(home.path, "fleet"),
    MILLRACE: `${process.execPath} ${join(root, "dist/gateway/main.js")}`,
    FIRST_PORT: String(await freePort()),
  };
  const files = [1, 2].map((n) => join(home.path, `reader-${n}.ndjson`));
  const read = (file: string) =>
    new Process(process.execPath, [join(root, "examples/fleet/reader.mjs"), file], { env });
  const readers = files.map(read);
  cleanUp.push(async () => {
    for (const reader of readers) await reader.stop("SIGKILL");
  });
  const fleet = new Process(process.execPath, [join(root, "examples/fleet/fleet.mjs")], { env });
  cleanUp.push(() => fleet.stop());
  const all = () => files.flatMap(linesOf);
  const records = (plant: string) =>
    new Set(all().flatMap(({ properties: { id } }) => (id?.startsWith(`${plant}/`) ? [id] : []))).size;
  const plants = ["plant-1", "plant-2", "plant-3"];
  const each = (what: string, least: number) =>
    until(what, () => plants.every((plant) => records(plant) >= least), 90_000);
  await each("20 records of each", 20);

  const pid = Number(/plant-2 is process (\d+)/.exec(fleet.lines.join("\n"))?.[1]);
  process.kill(pid, "SIGKILL");
  await readers[0]?.stop("SIGKILL");
  readers[0] = read(files[0] ?? "");
  await kafka.restart();
  const before = Math.max(...plants.map(records));
  await each("100 more of each", before + 100);

  // The gateways end in order, and the readers take what is left.
  expect(await fleet.stop()).toBe(0);
  await admin.connect();
  const lag = async () => {
    const [theirs] = await admin.fetchOffsets({ groupId: "history", topics: ["fleet"] });
    const ours = new Map(theirs?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
    const ends = await admin.fetchTopicOffsets("fleet");
    return ends.reduce((sum, { partition, high }) => sum + Number(high) - Math.max(0, ours.get(partition) ?? 0), 0);
  };
  await until("the readers have read all", async () => (await lag()) === 0, 60_000);

  const lines = all();
  const together = join(home.path, "all.ndjson");
  writeFileSync(together, `${lines.map((line) => JSON.stringify(line)).join("\n")}\n`);
  const verify = millrace(["verify", "--json", "--from-start", "--file", together]);
  expect(await verify.exited, verify.lines.join("\n")).toBe(0);
  const verdict = JSON.parse(verify.lines.join("\n")) as {
    received: number;
    duplicates: number;
    missingRanges: number;
  };

  const devices = lines.filter(({ topic, properties }) => topic.includes("/press-") && properties["id"] !== undefined);
  const partitions = new Map<string, Set<number>>();
  for (const { topic, partition } of devices)
    partitions.set(topic, (partitions.get(topic) ?? new Set()).add(partition));
  const disordered = files.flatMap((file) => firstsOutOfOrder(linesOf(file)));
  const counts = plants.map((plant) => `${plant} ${records(plant)}`).join(", ");
  process.stdout.write(
    `fleet: Kafka ${KAFKA_VERSION}, ${counts} records, missing ${verdict.missingRanges}, duplicates ${verdict.duplicates} (by id), ` +
      `${partitions.size} devices, each in one partition, out of order ${disordered.length}\n`,
  );
  expect(verdict.missingRanges).toBe(0);
  expect([...partitions.values()].map(({ size }) => size)).toEqual(Array.from({ length: 6 }, () => 1));
  expect(disordered).toEqual([]);
}, 300_000);
