import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Aedes, type Client } from "aedes";
import mqtt, { type MqttClient } from "mqtt";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { runVerify } from "../../gateway/cli/verify.ts";
import { testIo } from "../cli/io.ts";
import { enveloped, gap, type Message, record, refused, status } from "./messages.ts";

let folder = "";
const cleanup: (() => Promise<unknown> | unknown)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-verify-"));
});
afterEach(async () => {
  for (const task of cleanup.splice(0).reverse()) await task();
  await rm(folder, { recursive: true, force: true });
});

async function broker(options: ConstructorParameters<typeof Aedes>[0] = {}) {
  const aedes = await Aedes.createBroker(options);
  aedes.on("clientError", () => {});
  const server = createServer(aedes.handle);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  cleanup.push(async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    await closed;
  });
  return { aedes, url: `mqtt://127.0.0.1:${port}` };
}

async function gateway(url: string): Promise<MqttClient> {
  const client = await mqtt.connectAsync(url, { protocolVersion: 4 });
  cleanup.push(() => client.endAsync(true));
  return client;
}

async function publish(client: MqttClient, messages: readonly Message[]): Promise<void> {
  for (const { payload } of messages) await client.publishAsync("acme/x", payload, { qos: 1 });
}

function connected(io: ReturnType<typeof testIo>, times = 1): Promise<void> {
  return vi.waitFor(() => expect(io.stderr().split("connected to ").length - 1).toBe(times), 5_000);
}

async function saved(messages: readonly Message[]): Promise<string> {
  const file = join(folder, "out.ndjson");
  const lines = messages.map(({ payload, properties }) =>
    JSON.stringify({ topic: "a", payload: payload.toString(), properties: { "user-properties": properties } }),
  );
  await writeFile(file, `${lines.join("\n")}\n`);
  return file;
}

describe("millrace verify --file", () => {
  it.each([
    ["complete", [record(1, 0), record(2, 1)], [], 0, "COMPLETE: nothing is missing (2 records received"],
    ["missing", [record(1, 0), record(3, 2)], [], 1, "NOT COMPLETE: 1 missing ranges"],
    ["a told gap", [record(1, 0), gap(2, 3, 1)], [], 0, "2 told as lost"],
    ["a told gap, strict", [record(1, 0), gap(2, 3, 1)], ["--strict"], 1, "2 told as lost"],
    ["refused records", [record(1, 0), refused(1, "0000000a", 5)], [], 0, "5 records in 1 ranges of time"],
    ["behind", [record(1, 0), status(9, 1)], ["--complete"], 1, "Not everything up to the gateway's last status"],
    ["from start", [record(8, 7)], ["--from-start"], 1, "1-7"],
    ["nothing", [], [], 66, "NOTHING RECEIVED"],
  ])("%s", async (_name, messages, options, code, text) => {
    const io = testIo();
    expect(await runVerify(["--file", await saved(messages), ...options], io)).toBe(code);
    expect(io.stdout()).toContain(text);
  });

  it("reads payloads that are JSON, and properties without a name around them", async () => {
    const file = join(folder, "json.ndjson");
    const [one, two] = [record(1, 0), enveloped(2, 1)];
    const lines = [
      { topic: "a", payload: JSON.parse(one.payload.toString()), properties: one.properties },
      { topic: "a", payload: JSON.parse(two.payload.toString()) },
    ];
    await writeFile(file, lines.map((line) => JSON.stringify(line)).join("\n"));
    const io = testIo();
    expect(await runVerify(["--file", file, "--json"], io)).toBe(0);
    expect(JSON.parse(io.stdout())).toMatchObject({ complete: true, received: 2, missingRanges: 0 });
  });

  it("names at most 20 missing ranges", async () => {
    const io = testIo();
    const holes = Array.from({ length: 26 }, (_, index) => record(index * 2 + 2, index * 2 + 1));
    expect(await runVerify(["--file", await saved(holes)], io)).toBe(1);
    expect(io.stdout()).toContain("\n    3\n");
    expect(io.stdout()).toContain("    and 5 more");
  });

  it("says which line is wrong", async () => {
    const file = join(folder, "bad.ndjson");
    await writeFile(file, '{"payload":"x"}\nnot json\n');
    const io = testIo();
    expect(await runVerify(["--file", file], io)).toBe(66);
    expect(io.stderr()).toContain("line 2 is not a JSON object");
    expect(await runVerify(["--file", join(folder, "none")], testIo())).toBe(66);
  });
});

describe("millrace verify --state", () => {
  it("goes on from an earlier run", async () => {
    const state = join(folder, "state.json");
    const first = await saved([record(1, 0), record(2, 1)]);
    expect(await runVerify(["--file", first, "--state", state], testIo())).toBe(0);
    const io = testIo();
    const second = await saved([record(2, 1), record(4, 3)]);
    expect(await runVerify(["--file", second, "--state", state], io)).toBe(1);
    expect(io.stdout()).toMatch(/received {11}3, from the beginning/);
    expect(io.stdout()).toMatch(/duplicates {9}1/);
    expect(JSON.parse(await readFile(state, "utf8"))).toMatchObject({ format: 1 });
  });

  it("refuses a file that it did not write", async () => {
    const state = join(folder, "state.json");
    await writeFile(state, '{"format":2}');
    const io = testIo();
    expect(await runVerify(["--file", await saved([]), "--state", state], io)).toBe(64);
    expect(io.stderr()).toContain("was not written by verify");
  });
});

describe("millrace verify --url", () => {
  it("falls back to MQTT 3.1.1, receives, and ends when it is quiet", async () => {
    const { url } = await broker();
    const io = testIo();
    const done = runVerify(["--url", url, "--topic", "acme/#", "--idle", "300ms"], io);
    await connected(io);
    expect(io.stderr()).toContain("with MQTT 3.1.1");
    await publish(await gateway(url), [enveloped(1, 0), enveloped(2, 1), enveloped(2, 1), enveloped(5, 4)]);
    expect(await done).toBe(1);
    expect(io.stdout()).toContain("    3-4\n");
    expect(io.stdout()).toContain("3 records received, 1 duplicates");
  });

  it("ends as soon as everything up to the last status is in", async () => {
    const { url } = await broker();
    const io = testIo();
    const done = runVerify(["--url", url, "--complete"], io);
    await connected(io);
    const client = await gateway(url);
    await publish(client, [enveloped(1, 0), status(3, 1)]);
    await publish(client, [enveloped(3, 1)]);
    expect(await done).toBe(0);
    expect(io.stdout()).toContain("3 of 3 taken by the gateway");
  });

  it("ends on Ctrl-C", async () => {
    const { url } = await broker();
    const io = testIo();
    const done = runVerify(["--url", url], io);
    await connected(io);
    io.abort();
    expect(await done).toBe(66);
  });

  it("misses nothing while it is cut off, with a client id", async () => {
    const { aedes, url } = await broker();
    const seen: Client[] = [];
    aedes.on("client", (client) => seen.push(client));
    const io = testIo();
    const done = runVerify(["--url", url, "--client-id", "proof", "--complete"], io);
    await connected(io);
    const sender = await gateway(url);
    await publish(sender, [enveloped(1, 0)]);
    for (const client of seen) if (client.id === "proof") client.close();
    await publish(sender, [enveloped(2, 1), enveloped(3, 2), status(3, 3)]);
    expect(await done).toBe(0);
    expect(io.stderr()).toContain("connection lost");
    expect(io.stderr()).not.toContain("messages may be missed");
  });

  it("says who does not answer, exit 69", async () => {
    const io = testIo();
    expect(await runVerify(["--url", "mqtt://127.0.0.1:9", "--connect-timeout", "300ms"], io)).toBe(69);
    expect(io.stderr()).toContain("cannot receive from mqtt://127.0.0.1:9: connect ECONNREFUSED");
  });

  it("sends name and password, and takes a refusal for an answer", async () => {
    const { url } = await broker({
      authenticate: (_client, user, password, done) => done(null, user === "ana" && password?.toString() === "right"),
    });
    const io = testIo({ env: { PW: "wrong" } });
    expect(await runVerify(["--url", url, "--username", "ana", "--password-env", "PW"], io)).toBe(69);
    expect(io.stderr()).toMatch(/Bad username or password|Not authorized/);
    expect(io.stderr()).not.toContain("wrong");
    const file = join(folder, "pw");
    await writeFile(file, "right\n");
    const good = testIo();
    const done = runVerify(["--url", url, "--username", "ana", "--password-file", file], good);
    await connected(good);
    good.abort();
    await done;
  });
});

describe("usage", () => {
  it.each([
    [[], "give either --url or --file"],
    [["--url", "http://x"], "is not a broker's address"],
    [["--url", "mqtt://a:b@x"], "no password in --url"],
    [["--url", "mqtt://x", "--topic", "a/#/b"], '"#" must stand alone'],
    [["--url", "mqtt://x", "--for", "5"], '--for "5" is not a duration'],
    [["--url", "mqtt://x", "--password-env", "NONE"], "NONE is not set"],
    [["--nonsense"], "--nonsense"],
    [["mqtt://x"], "is not an option"],
  ])("%j is exit 64 with a cure", async (args, text) => {
    const io = testIo();
    expect(await runVerify(args, io)).toBe(64);
    expect(io.stderr()).toContain(text);
  });

  it("has help with an example", async () => {
    const io = testIo();
    expect(await runVerify(["--help"], io)).toBe(0);
    expect(io.stdout()).toContain("Example: millrace verify");
  });
});
