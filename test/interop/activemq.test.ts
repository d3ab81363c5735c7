import { join } from "node:path";
import { connectAsync, connect as openClient } from "mqtt";
import rhea, { type Connection, type EventContext } from "rhea";
import { afterAll, describe, expect, it } from "vitest";
import { type ActiveMq, activeMq } from "../support/activemq.ts";
import { MissingJars } from "../support/maven.ts";
import { millrace, until } from "../support/processes.ts";
import { areThere, publish, type Taken, UplinkRig } from "../support/uplink-rig.ts";

/**
 * The gateway's own process into ActiveMQ Classic and Artemis: records from a local client, the server killed twice and the gateway
 * once in the middle, and what a consumer gets.
 */

const RECORDS = Number(process.env["MILLRACE_RECORDS"] ?? 5_000);
const WINDOW = 500;
const LOGIN = { username: "gw", password: { env: "BROKER_PASSWORD" } };
const ENV = { BROKER_PASSWORD: "gw-secret", WRONG: "not-it" };
const rig = new UplinkRig("activemq", { name: "activemq", type: "activemq", ...LOGIN }, ENV);
const { cleanUp } = rig;
const configOf = (name: string, url: string, uplink: object) => rig.configOf(name, { url, ...uplink });
const running = (file: string) => rig.running(file);
afterAll(() => rig.end());

const known = new Map<string, Promise<ActiveMq | undefined>>();
/** One of a kind for all tests. Undefined where its jars cannot be had: said, and skipped. */
function server(kind: "classic" | "artemis"): Promise<ActiveMq | undefined> {
  const started =
    known.get(kind) ??
    activeMq(kind, join(rig.path, kind)).then(
      (one) => {
        cleanUp.push(() => one.stop());
        process.stdout.write(`ActiveMQ ${kind} ${one.version}\n`);
        return one;
      },
      (error: unknown) => {
        if (!(error instanceof MissingJars)) throw error;
        process.stdout.write(`skipped: ${error.message}\n`);
        return undefined;
      },
    );
  known.set(kind, started);
  return started;
}

function outside(url: string, id?: string): Connection {
  const { port } = new URL(url);
  const named = id === undefined ? {} : { container_id: id };
  const place = { host: "127.0.0.1", port: Number(port), reconnect: false as const, ...named };
  return rhea.create_container().connect({ ...place, username: "gw", password: "gw-secret" });
}

/** Takes all there is out of a queue. */
async function drained(url: string, address: string, least: number): Promise<readonly Taken[]> {
  const got: Taken[] = [];
  const connection = outside(url);
  let failed: string | undefined;
  connection.on("disconnected", () => {
    failed = "the connection was lost";
  });
  const receiver = connection.open_receiver({ source: { address }, credit_window: 500 });
  receiver.on("message", ({ message }: EventContext) => {
    const { id, topic } = message?.application_properties ?? {};
    const body: unknown = message?.body;
    const content = typeof body === "object" && body !== null && "content" in body ? body.content : body;
    if (typeof id === "string") got.push({ topic: String(topic), n: Number(String(content)), id });
    expect(message?.durable).toBe(true);
  });
  const all = () => failed !== undefined || areThere(got, least);
  await until(`${least} records`, all, 120_000);
  expect(failed).toBeUndefined();
  await new Promise<void>((resolve) => {
    connection.once("connection_close", () => resolve());
    connection.close();
  });
  return got;
}

describe.each(["classic", "artemis"] as const)("ActiveMQ %s", (kind) => {
  it("gets every record, in order, through kills of the server and of the gateway", async ({ skip }) => {
    const broker = await server(kind);
    if (broker === undefined) return skip();
    const { file, local } = await configOf(`kills-${kind}`, broker.url, {
      address: "records",
      duplicateDetection: true,
    });
    let gateway = await running(file);
    const part = Math.floor(RECORDS / 4);
    await publish(local, 0, part);
    // In the midst of both.
    await Promise.all([publish(local, part, 2 * part), broker.restart()]);
    await publish(local, 2 * part, 3 * part);
    await gateway.stop("SIGKILL");
    gateway = await running(file);
    await Promise.all([publish(local, 3 * part, RECORDS), broker.restart()]);
    const got = await drained(broker.url, "records", RECORDS);
    await gateway.stop();

    const missing = RECORDS - new Set(got.map(({ n }) => n)).size;
    const duplicates = got.length - new Set(got.map(({ id }) => id)).size;
    expect(missing).toBe(0);
    // A window for each of the three ends.
    expect(duplicates).toBeLessThanOrEqual(3 * WINDOW);
    const seen = new Set<string>();
    const last = new Map<string, number>();
    for (const { topic, n, id } of got) {
      if (seen.has(id)) continue;
      seen.add(id);
      expect(n).toBeGreaterThan(last.get(topic) ?? -1);
      last.set(topic, n);
    }
    process.stdout.write(
      `activemq ${kind}: ${RECORDS} records, missing ${missing}, duplicates ${duplicates}, in order per topic\n`,
    );
  }, 300_000);

  it("gives plans to a line that is away, none lost, in order, over kills of the gateway", async ({ skip }) => {
    const broker = await server(kind);
    if (broker === undefined) return skip();
    const accept = [{ address: "plans", from: "plan/#" }];
    const { file, local } = await configOf(`down-${kind}`, broker.url, { address: "records", accept });
    let gateway = await running(file);
    await gateway.line(/accepting what comes down/, 30_000);
    const session = { clientId: "line-1", clean: false, reconnectPeriod: 0 };
    const line = await connectAsync(`mqtt://127.0.0.1:${local}`, session);
    await line.subscribeAsync("plan/line-1", { qos: 1 });
    await line.endAsync();
    const connection = outside(broker.url);
    const sender = connection.open_sender("plans");
    await new Promise<void>((resolve) => sender.once("sendable", () => resolve()));
    for (let n = 0; n < 200; n++) {
      await new Promise<void>((resolve) => {
        sender.once("accepted", () => resolve());
        sender.send({ durable: true, subject: "plan.line-1", body: `${n}` });
      });
      if (n % 100 !== 60) continue;
      // In the midst of them.
      await gateway.stop("SIGKILL");
      gateway = await running(file);
    }
    connection.close();
    const got: number[] = [];
    const back = openClient(`mqtt://127.0.0.1:${local}`, session);
    back.on("message", (_, payload) => got.push(Number(payload.toString())));
    cleanUp.push(() => back.endAsync(true));
    const far = () =>
      `all 200 plans at the line; there ${got.length}, the last ${got.slice(-5)}; the gateway said ${gateway.lines.slice(-12).join("\n")}`;
    await until(far, () => new Set(got).size >= 200, 90_000);
    expect([...new Set(got)]).toEqual(Array.from({ length: 200 }, (_, n) => n));
    await gateway.stop();
    process.stdout.write(
      `activemq ${kind}: 200 plans down over 2 kills, missing 0, twice ${got.length - 200}, in order\n`,
    );
  }, 240_000);

  it("is not kept out by its own connection from before a power cut", async ({ skip }) => {
    const broker = await server(kind);
    if (broker === undefined) return skip();
    // The broker does not know yet that the gateway before is gone.
    const before = outside(broker.url, "millrace-gw-activemq");
    await new Promise<void>((resolve) => before.once("connection_open", () => resolve()));
    const { file } = await configOf(`before-${kind}`, broker.url, { address: "records" });
    const gateway = await running(file);
    if (kind === "classic") await gateway.line(/already connected.*connection before a restart/, 30_000);
    before.close();
    // With a fault that waits for a person it would be minutes.
    await gateway.line(/"msg":"uplink connected"/, 60_000);
    await gateway.stop();
  }, 120_000);

  it("that refuses, that has no such queue, that does not know us: each says what to do, and nothing is lost", async ({
    skip,
  }) => {
    const broker = await server(kind);
    if (broker === undefined) return skip();
    const wrong = { username: "gw", password: { env: "WRONG" } };
    const cases: [string, object, RegExp][] = [
      ["password", wrong, /check username and password/],
      ["large", { address: "records", maxMessage: "1KiB" }, /1 dead letters/],
      ["full", { address: kind === "classic" ? "small.one" : "small" }, /has no room|gives no credit/],
      // Classic makes what is not there.
      ...(kind === "artemis"
        ? [["missing", { address: "nobody" }, /nobody.*make the address/] as [string, object, RegExp]]
        : []),
    ];
    const said: string[] = [];
    for (const [name, options, text] of cases) {
      const { file, local, http } = await configOf(`${name}-${kind}`, broker.url, options);
      const gateway = millrace(["run", "-c", file], ENV);
      cleanUp.push(() => gateway.stop());
      await gateway.line(/"msg":"gateway started"/, 30_000);
      await publish(local, 0, 500, (n) => (name === "large" && n === 7 ? "x".repeat(1500) : `${"x".repeat(100)}${n}`));
      let shown = "";
      const status = async () => {
        const told = millrace(["status", "--url", `http://127.0.0.1:${http}`]);
        await told.exited;
        shown = told.lines.join("\n");
        return text.test(shown) || gateway.lines.some((line) => text.test(line));
      };
      await until(`${name}: ${text}`, status, 60_000).catch((error: unknown) => {
        throw new Error(`${error}\n${shown}\n${gateway.lines.slice(-8).join("\n")}`);
      });
      expect(gateway.lines.join("\n")).not.toMatch(/not-it|gw-secret/);
      said.push(name);
      await gateway.stop();
    }
    expect(said).toEqual(cases.map(([name]) => name));
    process.stdout.write(`activemq ${kind}: told with its cure: ${said.join(", ")}\n`);
  }, 240_000);
});
