import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { SerialDriver } from "../../../drivers/serial/driver.ts";
import { type Device, TimeoutError } from "../../../gateway/core/driver.ts";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import { deviceOf, driverOf, live, Notes, readAll, tagOf, until, valuesOf } from "./bench.ts";

type Keys = Readonly<Record<string, unknown>>;

const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

/** A driver over TCP, and the device's end of it. */
async function talk(framing: Keys = {}, link: Keys = {}) {
  const sockets: Socket[] = [];
  let heard = "";
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      heard += chunk.toString("latin1");
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const notes = new Notes();
  const transport = { type: "tcp", host: "127.0.0.1", port };
  const driver = driverOf({ transport, framing: { type: "delimiter", ...framing }, ...link }, notes);
  await driver.connect(live());
  await until(() => sockets.length > 0);
  cleanup.push(
    () => new Promise((resolve) => server.close(resolve)),
    async () => sockets.map((socket) => socket.destroy()),
    () => driver.close(),
  );
  const say = async (text: string) => {
    const before = notes.of("bytes");
    sockets[0]?.write(Buffer.from(text, "latin1"));
    await until(() => notes.of("bytes") >= before + text.length);
  };
  return { driver, notes, say, heard: () => heard };
}

/** What a device says from now on. */
function listenTo(driver: SerialDriver, device: Device) {
  const seen: Record<string, unknown>[] = [];
  const ending = new AbortController();
  const ended = driver.listen(device, device.tags, (samples) => void seen.push(valuesOf(samples)), ending.signal);
  ended.catch(() => {});
  cleanup.push(async () => ending.abort());
  return { seen, ended, stop: () => ending.abort() };
}

const NUMBER = { pattern: "^(?<v>[0-9]+)$" };
const V = { v: { type: "int64" } };

describe("a device that is asked", () => {
  const asked = (more: Keys = {}) => deviceOf("scale", { parse: NUMBER, ask: "?\r\n", timeout: "100ms", ...more }, V);

  it("each different question is one request, and what is only written is in none", () => {
    const device = deviceOf(
      "d",
      { parse: { pattern: "^(?<a>.)(?<b>.)(?<c>.)$" }, ask: "1" },
      {
        a: { type: "string" },
        b: { type: "string" },
        c: { type: "string", ask: "2" },
        p: { type: "string", write: "<{value}>" },
      },
    );
    const driver = driverOf({ transport: { path: "/dev/x" }, framing: { type: "fixed", length: 3 } });
    const requests = driver.plan(device, device.tags);
    expect(requests.map(({ label, tags }) => [label, tags.map(({ name }) => name)])).toEqual([
      ["ask 1", ["a", "b"]],
      ["ask 2", ["c"]],
    ]);
    expect(requests[0]?.wireMs).toBeCloseTo((4 * 10 * 1000) / 9600);
  });

  it("a late answer is not taken for that of the next question", async () => {
    const { driver, notes, say, heard } = await talk();
    const device = asked({ timeout: "400ms" });
    await expect(readAll(driver, device)).rejects.toBeInstanceOf(TimeoutError);
    const next = readAll(driver, device);
    await say("111\r\n");
    await until(() => heard() === "?\r\n?\r\n");
    await say("222\r\n");
    expect(await next).toEqual({ v: 222 });
    expect(notes.of("late")).toBe(1);
  });

  it("nor does one that never comes hold up what cannot be taken for it", async () => {
    const { driver, say, heard } = await talk();
    await expect(readAll(driver, asked({ timeout: "10ms" }))).rejects.toBeInstanceOf(TimeoutError);
    const other = deviceOf("other", { parse: { pattern: "^T(?<v>[0-9]+)$" }, ask: "T\r\n", timeout: "5s" }, V);
    const reading = readAll(driver, other);
    await until(() => heard() === "?\r\nT\r\n");
    await say("111\r\nT5\r\n");
    expect(await reading).toEqual({ v: 5 });
  });

  it("garbage before the answer is told, and the answer is taken", async () => {
    const { driver, notes, say, heard } = await talk();
    const reading = readAll(driver, asked({ timeout: "5s" }));
    await until(() => heard() === "?\r\n");
    await say("\x00\xffE01\r\n42\r\n");
    expect(await reading).toEqual({ v: 42 });
    expect(notes.warnings).toEqual([
      {
        kind: "unreadable",
        reason: "not ascii",
        device: "scale",
        bytes: "00 FF 45 30 31",
        text: "..E01",
        length: 5,
        more: 0,
      },
    ]);
  });

  it("what cannot be read is bad with a reason, not silence", async () => {
    const { driver, notes, say, heard } = await talk();
    const reading = readAll(driver, asked());
    await until(() => heard() === "?\r\n");
    await say("S I\r\n");
    expect(await reading).toEqual({ v: "[the pattern does not match]" });
    expect(notes.of("unreadable")).toBe(1);
  });

  it("the question itself may come back first", async () => {
    const { driver, notes, say, heard } = await talk();
    const device = deviceOf("d", { ask: "7\r\n", parse: NUMBER, timeout: "5s" }, V);
    const reading = readAll(driver, device);
    await until(() => heard() === "7\r\n");
    await say("7\r\n8\r\n");
    expect(await reading).toEqual({ v: 8 });
    expect(notes.of("echo")).toBe(1);
  });

  it("what comes unasked is counted, and never an answer", async () => {
    const { driver, notes, say, heard } = await talk();
    await say("1\r\n2");
    const reading = readAll(driver, asked({ timeout: "5s" }));
    await until(() => heard() === "?\r\n");
    await say("33\r\n");
    expect(await reading).toEqual({ v: 33 });
    expect(notes.of("unasked")).toBe(1);
  });
});

describe("a device that speaks", () => {
  it("beside one that is asked: each telegram goes to whom it fits", async () => {
    const { driver, notes, say, heard } = await talk();
    const scanner = deviceOf("scanner", { parse: { pattern: "^#(?<code>.+)$" } }, { code: { type: "string" } });
    const badge = deviceOf("badge", { parse: { pattern: "^B(?<code>.+)$" } }, { code: { type: "string" } });
    const printer = deviceOf("printer", {}, { label: { type: "string", write: "{value}" } });
    listenTo(driver, printer);
    const scans = listenTo(driver, scanner);
    const badges = listenTo(driver, badge);
    const scale = deviceOf("scale", { parse: NUMBER, ask: "?\r\n", timeout: "5s" }, V);
    const reading = readAll(driver, scale);
    await until(() => heard() === "?\r\n");
    await say("#one\r\nBtwo\r\n5\r\n#three\r\nnobody\r\n");
    expect(await reading).toEqual({ v: 5 });
    expect(scans.seen).toEqual([{ code: "one" }, { code: "three" }]);
    expect(badges.seen).toEqual([{ code: "two" }]);
    expect(notes.of("unreadable")).toBe(1);
  });

  it("is bad once while its telegrams cannot be read, and the log is not filled", async () => {
    const { driver, notes, say } = await talk({ maxBytes: 8 });
    const { seen } = listenTo(driver, deviceOf("d", { parse: NUMBER }, V));
    await say("1\r\n");
    for (let n = 0; n < 50; n++) await say("x\r\n");
    await say("2\r\n");
    await say(`${"9".repeat(5000)}\r\n3\r\n`);
    expect(seen).toEqual([
      { v: 1 },
      { v: "[the pattern does not match]" },
      { v: 2 },
      { v: "[telegram too long]" },
      { v: 3 },
    ]);
    expect([notes.of("unreadable"), notes.of("too-long"), notes.of("taken")]).toEqual([50, 1, 3]);
    expect(notes.warnings.map(({ kind }) => kind)).toEqual(["unreadable", "too-long"]);
    expect(String(notes.warnings[1]?.["bytes"]).length).toBeLessThan(200);
  });

  it("is read once within the hold-off, by the values of its events", async () => {
    const { driver, notes, say } = await talk();
    const tags = { code: { type: "string", stream: "events" }, rssi: { type: "int64" } };
    const device = deviceOf("d", { holdOff: "1h", parse: { pattern: "^(?<code>[A-Z]+)(?<rssi>-[0-9]+)$" } }, tags);
    const { seen } = listenTo(driver, device);
    await say("A-60\r\nA-61\r\nB-50\r\nA-60\r\nC-1\r\n");
    expect(seen.map(({ code }) => code)).toEqual(["A", "B", "C"]);
    expect(notes.of("duplicate")).toBe(2);
    await say("?\r\nC-1\r\n");
    expect(seen.at(-1)).toEqual({ code: "C", rssi: -1 });
  });

  it("says the newest when it says too much, and nothing is left out at the end", async () => {
    const { driver, notes, say } = await talk();
    const { seen, stop, ended } = listenTo(driver, deviceOf("d", { parse: NUMBER, minInterval: "1h" }, V));
    await say("1\r\n2\r\n3\r\n");
    expect(seen).toEqual([{ v: 1 }]);
    expect(notes.of("spared")).toBe(1);
    stop();
    await ended;
    expect(seen).toEqual([{ v: 1 }, { v: 3 }]);
  });

  it("is bad when it should speak and does not", async () => {
    const { driver, say } = await talk();
    const { seen } = listenTo(driver, deviceOf("d", { parse: NUMBER, silentAfter: "100ms" }, V));
    await say("1\r\n");
    await vi.waitFor(() => expect(seen).toEqual([{ v: 1 }, { v: "[silent]" }]), { timeout: 5_000 });
    await say("2\r\n");
    expect(seen.at(-1)).toEqual({ v: 2 });
  });

  it("a silence ends a telegram that broke off, and with idle-gap any", async () => {
    const { driver, notes, say } = await talk({ unfinished: "50ms" });
    const { seen } = listenTo(driver, deviceOf("d", { parse: NUMBER }, V));
    await say("12");
    await until(() => notes.of("unfinished") === 1);
    await say("3\r\n");
    expect(seen).toEqual([{ v: 3 }]);
    const gap = await talk({ type: "idle-gap", gap: "30ms" });
    const heard = listenTo(gap.driver, deviceOf("e", { parse: NUMBER }, V));
    await gap.say("12");
    await until(() => heard.seen.length > 0);
    expect(heard.seen).toEqual([{ v: 12 }]);
  });
});

describe("writing", () => {
  it("puts the value into the template, and refuses what a printer would obey", async () => {
    const { driver, heard } = await talk();
    const printer = deviceOf(
      "printer",
      { parse: { encoding: "latin1" } },
      {
        label: { type: "string", write: "^XA^FD{value}^FS^XZ\r\n" },
        count: { type: "int64", write: "N{value}\r\n" },
        status: { type: "string" },
      },
    );
    const tag = (name: string) => printer.tags.find((each) => each.name === name) ?? tagOf("none", {});
    const results = await driver.write(
      printer,
      [
        { tag: tag("label"), value: "Müller" },
        { tag: tag("count"), value: 12n },
        { tag: tag("label"), value: "\x1b@" },
        { tag: tag("label"), value: "日本" },
        { tag: tag("status"), value: "x" },
      ],
      live(),
    );
    expect(results).toEqual([
      { tag: "label", ok: true },
      { tag: "count", ok: true },
      { tag: "label", ok: false, reason: "control characters are not sent" },
      { tag: "label", ok: false, reason: "cannot be written in latin1" },
      { tag: "status", ok: false, reason: "the tag has no `write`" },
    ]);
    await until(() => heard().endsWith("N12\r\n"));
    expect(heard()).toBe("^XA^FDM\xfcller^FS^XZ\r\nN12\r\n");
    await driver.close();
    await expect(driver.write(printer, [], live())).rejects.toBeInstanceOf(NotConnectedError);
  });
});

describe("devices that connect by themselves", () => {
  it("are heard beside each other, each in its own pieces", async () => {
    const notes = new Notes();
    const port = await freePort();
    const transport = { type: "tcp-listen", port };
    const driver = driverOf({ transport, framing: { type: "delimiter", delimiter: "\r" } }, notes);
    await driver.connect(live());
    cleanup.push(() => driver.close());
    const { seen } = listenTo(driver, deviceOf("d", {}, { code: { type: "string" } }));
    const one = connect(port, "127.0.0.1");
    const two = connect(port, "127.0.0.1");
    one.write("ab");
    await until(() => notes.of("bytes") === 2);
    two.write("xy\r");
    await until(() => notes.of("bytes") === 5);
    one.write("c\r");
    await until(() => seen.length === 2);
    expect(seen).toEqual([{ code: "xy" }, { code: "abc" }]);
    two.end();
    one.write("still here\r");
    await until(() => seen.length === 3);
    one.destroy();
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address ? address.port : 0;
}
