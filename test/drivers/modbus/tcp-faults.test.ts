import { spawn } from "node:child_process";
import { once } from "node:events";
import type { Socket } from "node:net";
import { afterEach, describe, expect, it, vi } from "vitest";
import { ModbusClient } from "../../../drivers/modbus/client.ts";
import type { ModbusDriver } from "../../../drivers/modbus/driver.ts";
import { IdPort } from "../../../drivers/modbus/ports/id-port.ts";
import { TcpChannel } from "../../../drivers/modbus/ports/tcp-channel.ts";
import { TimeoutError } from "../../../gateway/core/driver.ts";
import { NotConnectedError } from "../../../gateway/core/errors.ts";
import { deviceOf, driverOf, FrameCounts, live, readAll, valuesOf } from "./bench.ts";
import { answerTo, changed, ScriptedServer } from "./scripted.ts";

/** Every register holds its own address, so a value that is not the tag's address is wrong. */
const DEVICE = deviceOf({ unit: 1 }, { r100: { address: "holding:100", type: "uint16" } });
const OTHER = deviceOf({ unit: 1 }, { r2000: { address: "holding:2000", type: "uint16" } });

let server: ScriptedServer;
let driver: ModbusDriver;
let counts: FrameCounts;

async function connected(
  script: (question: Buffer, socket: Socket, index: number) => void,
  options: Record<string, unknown> = {},
): Promise<void> {
  counts = new FrameCounts();
  server = new ScriptedServer(script);
  const port = await server.start();
  driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port }, timeout: "120ms", ...options }, counts);
  await driver.connect(live());
}

afterEach(async () => {
  await driver.close();
  await server.stop();
});

describe("modbus tcp", () => {
  it("reads what it asked for", async () => {
    await connected((question, socket) => socket.write(answerTo(question)));
    expect(await valuesOf(driver, DEVICE)).toEqual({ r100: 100 });
    expect(server.questions[0]?.subarray(2).toString("hex")).toBe("000000060103" + "0064" + "0001");
  });

  it("takes an answer that comes byte by byte", async () => {
    await connected((question, socket) => {
      for (const byte of answerTo(question)) socket.write(Buffer.of(byte));
    });
    expect(await valuesOf(driver, DEVICE)).toEqual({ r100: 100 });
  });

  it("never takes a late answer for the next one", async () => {
    let held: Buffer | undefined;
    await connected((question, socket, index) => {
      if (index === 0) held = answerTo(question);
      else socket.write(Buffer.concat([held ?? Buffer.alloc(0), answerTo(question)]));
    });
    await expect(readAll(driver, OTHER)).rejects.toBeInstanceOf(TimeoutError);
    expect(await valuesOf(driver, DEVICE)).toEqual({ r100: 100 });
    expect(counts.of("late")).toBe(1);
  });

  it("does not use the id of a late answer again, even after all 65536 others", async () => {
    let held: Buffer | undefined;
    const ids = new Set<number>();
    await connected(
      (question, socket, index) => {
        if (index === 0) {
          held = answerTo(question);
          return;
        }
        ids.add(question.readUInt16BE(0));
        socket.write(
          index === 66_000 ? Buffer.concat([held ?? Buffer.alloc(0), answerTo(question)]) : answerTo(question),
        );
      },
      { timeout: "1s" },
    );
    await expect(readAll(driver, OTHER)).rejects.toBeInstanceOf(TimeoutError);
    const [request] = driver.plan(DEVICE, DEVICE.tags, {});
    if (!request) throw new Error("nothing planned");
    const signal = live();
    for (let index = 0; index < 66_000; index++) {
      const [sample] = await driver.read(request, signal);
      if (sample?.value !== 100) throw new Error(`got ${sample?.value}`);
    }
    expect(ids.size).toBe(65_535);
    expect(ids.has(held?.readUInt16BE(0) ?? -1)).toBe(false);
    expect(counts.of("late")).toBe(1);
  }, 60_000);

  it.each<[string, (answer: Buffer) => Buffer, string]>([
    ["another transaction", (answer) => changed(answer, { 1: (answer[1] ?? 0) ^ 0x55 }), "foreign"],
    ["transaction 0 always", (answer) => changed(answer, { 0: 0, 1: 0 }), "foreign"],
    ["another unit", (answer) => changed(answer, { 6: 2 }), "foreign"],
    ["another function", (answer) => changed(answer, { 7: 4 }), "foreign"],
    [
      "the exception of another function",
      (answer) => Buffer.concat([changed(answer, { 5: 3, 7: 0x84 }).subarray(0, 8), Buffer.of(2)]),
      "foreign",
    ],
  ])("does not take an answer with %s", async (_, spoil, kind) => {
    await connected((question, socket, index) =>
      socket.write(index < 3 ? spoil(answerTo(question)) : answerTo(question)),
    );
    for (let round = 0; round < 3; round++) {
      await expect(readAll(driver, DEVICE)).rejects.toBeInstanceOf(TimeoutError);
    }
    expect(counts.of(kind)).toBe(3);
    expect(await valuesOf(driver, DEVICE)).toEqual({ r100: 100 });
  });

  it.each<[string, (answer: Buffer) => Buffer]>([
    ["a byte count too small", (answer) => changed(answer, { 8: 0 })],
    ["a byte count too large", (answer) => changed(answer, { 8: 4 })],
    ["fewer bytes than counted", (answer) => changed(answer.subarray(0, -1), { 5: 4 })],
    ["more bytes than counted", (answer) => changed(Buffer.concat([answer, Buffer.of(7)]), { 5: 6 })],
    ["more registers than asked", (answer) => changed(Buffer.concat([answer, Buffer.of(7, 7)]), { 5: 7, 8: 4 })],
    ["an exception without a code", (answer) => changed(answer.subarray(0, 9), { 5: 3, 7: 3 })],
    [
      "the question itself",
      (answer) => changed(Buffer.concat([answer.subarray(0, 8), Buffer.of(0, 100, 0, 1)]), { 5: 6 }),
    ],
  ])("shows %s as bad and goes on", async (_, spoil) => {
    await connected((question, socket, index) =>
      socket.write(index === 0 ? spoil(answerTo(question)) : answerTo(question)),
    );
    expect(await valuesOf(driver, DEVICE)).toEqual({ r100: "[malformed answer]" });
    expect(counts.of("malformed")).toBe(1);
    expect(await valuesOf(driver, DEVICE)).toEqual({ r100: 100 });
  });

  it.each<[string, (answer: Buffer) => Buffer]>([
    ["length 0", (answer) => changed(answer, { 4: 0, 5: 0 })],
    ["length 2", (answer) => changed(answer, { 4: 0, 5: 2 })],
    ["length 255", (answer) => changed(answer, { 4: 0, 5: 255 })],
    ["length 65535", (answer) => changed(answer, { 4: 255, 5: 255 })],
    ["another protocol", (answer) => changed(answer, { 3: 1 })],
    ["garbage", () => Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")],
  ])("gives the connection up on a header with %s", async (_, spoil) => {
    await connected((question, socket) =>
      socket.write(server.connections === 1 ? spoil(answerTo(question)) : answerTo(question)),
    );
    await expect(readAll(driver, DEVICE)).rejects.toBeInstanceOf(NotConnectedError);
    expect(counts.of("framing")).toBe(1);
    await vi.waitFor(() => expect(server.open).toBe(0));
    await driver.connect(live());
    expect(await valuesOf(driver, DEVICE)).toEqual({ r100: 100 });
  });

  it("takes the right one of two answers in one piece", async () => {
    await connected((question, socket) => {
      const stray = changed(answerTo(question), { 0: 0xaa, 10: 0xbb });
      socket.write(Buffer.concat([stray, answerTo(question), stray]));
    });
    for (let round = 0; round < 20; round++) expect(await valuesOf(driver, DEVICE)).toEqual({ r100: 100 });
    await vi.waitFor(() => expect(counts.of("foreign")).toBe(40));
  });

  it("drops an answer nobody asked for and one that came twice", async () => {
    await connected((question, socket) => socket.write(Buffer.concat([answerTo(question), answerTo(question)])));
    for (let round = 0; round < 20; round++) {
      expect(await valuesOf(driver, round % 2 ? OTHER : DEVICE)).toEqual(round % 2 ? { r2000: 2000 } : { r100: 100 });
    }
  });

  it.each<[number, string]>([
    [1, "illegal function"],
    [2, "illegal data address"],
    [3, "illegal data value"],
    [4, "server device failure"],
    [5, "acknowledge: answer comes later"],
    [6, "server device busy"],
    [7, "negative acknowledge"],
    [8, "memory parity error"],
    [10, "gateway path unavailable"],
    [99, "exception 99"],
  ])("exception %i is a bad sample and a sign of life", async (code, reason) => {
    await connected((question, socket) => socket.write(exception(question, code)));
    expect(await valuesOf(driver, DEVICE)).toEqual({ r100: `[${reason}]` });
    await driver.probe(DEVICE, live());
  });

  it("exception 11 is the silence of the unit behind a gateway", async () => {
    await connected((question, socket) => socket.write(exception(question, 11)));
    await expect(readAll(driver, DEVICE)).rejects.toBeInstanceOf(TimeoutError);
    await expect(driver.probe(DEVICE, live())).rejects.toThrow("gateway target device failed to respond");
  });

  it.each<[string, (socket: Socket) => void]>([
    ["ends", (socket) => socket.end()],
    ["resets", (socket) => socket.resetAndDestroy()],
    ["breaks off in an answer", (socket) => socket.end(Buffer.from("000000000005", "hex"))],
  ])("settles at once when the far side %s", async (_, end) => {
    await connected((_question, socket) => end(socket), { timeout: "10s" });
    await expect(readAll(driver, DEVICE)).rejects.toBeInstanceOf(NotConnectedError);
    await expect(readAll(driver, DEVICE)).rejects.toBeInstanceOf(NotConnectedError);
    expect(server.connections).toBe(1);
  });

  it("asks one question at a time and leaves nothing behind after close", async () => {
    await connected(() => {}, { timeout: "10s" });
    const reading = expect(readAll(driver, DEVICE)).rejects.toBeInstanceOf(NotConnectedError);
    await vi.waitFor(() => expect(server.questions).toHaveLength(1));
    await driver.close();
    await reading;
    await vi.waitFor(() => expect(server.open).toBe(0));
  });

  it("closes while it is still connecting", async () => {
    await connected(() => {});
    const connecting = expect(driver.connect(live())).rejects.toBeInstanceOf(NotConnectedError);
    await driver.close();
    await connecting;
    await vi.waitFor(() => expect(server.open).toBe(0));
  });

  it("gives up connecting in time, and then lets go", async () => {
    await connected(() => {});
    const deaf = await deafListener();
    try {
      const link = { transport: { type: "tcp", host: "127.0.0.1", port: deaf.port }, connectTimeout: "50ms" };
      const waiting = Array.from({ length: 4 }, () => driverOf(link));
      const results = await Promise.allSettled(waiting.map((one) => one.connect(live())));
      const failed = results.filter((result) => result.status === "rejected");
      expect(failed.length).toBeGreaterThan(0);
      for (const { reason } of failed) {
        expect(reason).toBeInstanceOf(NotConnectedError);
        expect(String(reason)).toContain("no connection within 50 ms");
      }
      await Promise.all(waiting.map((one) => one.close()));
    } finally {
      await deaf.stop();
    }
  });

  it("gives up a connection on which nobody answers any more", async () => {
    await connected(() => {});
    const { port } = server;
    const channel = { host: "127.0.0.1", port };
    const tcp = new IdPort(
      (events) => new TcpChannel(channel, events),
      { stream: true, slots: 1 },
      () => {},
    );
    const client = new ModbusClient(tcp, { deafMs: 0 });
    await client.open(1000, live());
    const question = { unit: 1, functionCode: 3, address: 0, count: 1 } as const;
    const ask = () => client.ask(question, { timeoutMs: 10, signal: live() });
    for (let round = 0; round < 5; round++) await expect(ask()).rejects.toBeInstanceOf(TimeoutError);
    await expect(ask()).rejects.toThrow("nobody has answered");
    await expect(ask()).rejects.toBeInstanceOf(NotConnectedError);
    await client.close();
  });

  it("uses the timeout of the device where it has one", async () => {
    await connected(() => {}, { timeout: "10s" });
    const hasty = deviceOf({ unit: 1, timeout: "20ms" }, { a: { address: "holding:0", type: "int16" } });
    await expect(readAll(driver, hasty)).rejects.toThrow("did not answer within 20 ms");
    await expect(driver.probe(hasty, live())).rejects.toThrow("did not answer within 20 ms");
  });
});

function exception(question: Buffer, code: number): Buffer {
  const answer = Buffer.from(question.subarray(0, 9));
  answer.writeUInt16BE(3, 4);
  answer[7] = (question[7] ?? 0) | 0x80;
  answer[8] = code;
  return answer;
}

/** Listens and never accepts: once its short queue is full, a connection is neither made nor refused. */
async function deafListener(): Promise<{ readonly port: number; stop(): Promise<void> }> {
  const script = `const server = require("node:net").createServer();
    server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      require("node:fs").writeSync(1, String(server.address().port) + "\\n");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  return {
    port: Number(String(line)),
    async stop() {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}
