import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { driverModules } from "../../drivers/index.ts";
import { withCrc } from "../../drivers/modbus/wire.ts";
import { runSimulate } from "../../gateway/cli/simulate.ts";
import type { Passed } from "../../gateway/core/recording.ts";
import { readRecording } from "../../gateway/recorder/read-recording.ts";
import { testIo } from "../cli/io.ts";
import { deviceOf, driverOf, live, readAll, valuesOf } from "../drivers/modbus/bench.ts";
import { fileOf, passedOf } from "./support.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-replay-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const driverNamed = (name: string) => driverModules.find((module) => module.name === name);

async function recorded(driver: string, link: object, passed: readonly Passed[]): Promise<string> {
  const module = driverNamed(driver);
  const capture = module?.recording?.capture(module.linkSchema.parse(link), []);
  if (!capture) throw new Error("no recordings");
  const file = join(folder, `${Math.random().toString(36).slice(2)}.pcapng`);
  await writeFile(file, fileOf(capture, passed, driver));
  return file;
}

async function playing(file: string, ...args: string[]) {
  const io = testIo();
  const deps = { drivers: driverModules, readRecording };
  const done = runSimulate(["--recording", file, "--json", ...args], io, deps);
  const ended = done.then((code) => {
    if (io.stdout() === "") throw new Error(`exit ${code}: ${io.stderr()}`);
    return code;
  });
  await Promise.race([ended, vi.waitFor(() => expect(io.stdout()).not.toBe(""), 5_000)]);
  const { address, content } = JSON.parse(io.stdout());
  const stop = () => {
    io.abort();
    return done;
  };
  return { port: Number(address.split(":")[1]), content, stderr: io.stderr, stop };
}

const rtu = (body: string) => withCrc(Buffer.from(body, "hex")).toString("hex");
const TCP = { transport: { type: "tcp", host: "127.0.0.1" } };
const exchange = (id: number, question: string, answer?: string): string[] => {
  const frame = (body: string) => {
    const bytes = body.replaceAll(" ", "");
    return `${id.toString(16).padStart(4, "0")} 0000 ${(bytes.length / 2).toString(16).padStart(4, "0")} ${bytes}`;
  };
  return [`> ${frame(question)}`, ...(answer === undefined ? [] : [`< ${frame(answer)}`])];
};
const READ = "01 03 0000 0001";
const SESSION = passedOf(
  1,
  "open",
  ...exchange(1, READ, "01 03 02 0007"),
  ...exchange(2, "01 04 0005 0001", "01 84 02"),
  ...exchange(3, READ, "01 03 02 0008"),
  ...exchange(4, "02 03 0000 0001"),
  ...exchange(5, "01 06 0009 0063", "01 06 0009 0063"),
  ...exchange(7, "01 03 0009 0001", "01 03 02 0001"),
  "@5000 > 0006 0000 0006 01 03 0000 0001",
  "@5010 < 0006 0000 0005 01 03 02 0009",
);
const uint16 = (address: string) => ({ address, type: "uint16" });

describe("a Modbus recording", () => {
  it("is answered as it was: values in their order, refusals, silences, writes", async () => {
    const file = await recorded("modbus", TCP, SESSION);
    const { port, content, stop, stderr } = await playing(file, "--port", "0");
    expect(content).toBe("5 different questions, 6 answers, 1 times none; units 1, 2");
    const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port }, timeout: "100ms" });
    await driver.connect(live());
    const word = deviceOf({ unit: 1 }, { word: { ...uint16("holding:0"), writable: true } });
    for (const value of [7, 8, 9, 9]) expect(await valuesOf(driver, word)).toEqual({ word: value });
    const refused = deviceOf({ unit: 1, learn: false }, { in: uint16("input:5") });
    expect(await valuesOf(driver, refused)).toEqual({ in: "[illegal data address]" });
    const dead = deviceOf({ unit: 2 }, { word: uint16("holding:0") });
    await expect(readAll(driver, dead)).rejects.toThrow("did not answer");
    const target = deviceOf({ unit: 1 }, { set: { ...uint16("holding:9"), writable: { verify: false } } });
    const [tag] = target.tags;
    if (!tag) throw new Error("no tag");
    // Another value than in the recording is confirmed too.
    expect(await driver.write(target, [{ tag, value: 42 }], live())).toMatchObject([{ ok: true }]);
    expect(stderr()).toBe("");
    await driver.close();
    expect(await stop()).toBe(0);
  });

  it("begins again at its end with loop, and says nothing with silence", async () => {
    const file = await recorded("modbus", TCP, SESSION);
    for (const [word, expected] of [
      ["loop", 7],
      ["silence", undefined],
    ] as const) {
      const { port, stop } = await playing(file, "--at-end", word, "--port", "0");
      const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port }, timeout: "100ms" });
      await driver.connect(live());
      const device = deviceOf({ unit: 1 }, { word: uint16("holding:0") });
      for (const value of [7, 8, 9]) expect(await valuesOf(driver, device)).toEqual({ word: value });
      if (expected === undefined) await expect(readAll(driver, device)).rejects.toThrow("did not answer");
      else expect(await valuesOf(driver, device)).toEqual({ word: expected });
      await driver.close();
      await stop();
    }
  });

  it("tells once what was never recorded", async () => {
    const file = await recorded("modbus", TCP, SESSION);
    const { port, stop, stderr } = await playing(file, "--port", "0");
    const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port }, timeout: "100ms" });
    await driver.connect(live());
    const device = deviceOf({ unit: 1 }, { word: uint16("holding:77") });
    await expect(readAll(driver, device)).rejects.toThrow("gateway target device failed to respond");
    await expect(readAll(driver, device)).rejects.toThrow("gateway target device failed to respond");
    expect(stderr().trim().split("\n")).toEqual([
      'warning: asked for something that is not in the recording {"unit":1,"function":3,"address":77,"count":1}',
    ]);
    await driver.close();
    await stop();
  });

  it("of a serial line is played over TCP too, and a late answer is not one to the next question", async () => {
    const link = { transport: { type: "rtu", path: "/dev/ttyS1", baud: 9600, parity: "none" } };
    // The answer to the first question comes after the second, of another length.
    const file = await recorded(
      "modbus",
      link,
      passedOf(
        1,
        `> ${rtu("010300000001")}`,
        `> ${rtu("010300000002")}`,
        `< ${rtu("0103020007")}`,
        `< ${rtu("01030400080009")}`,
        `@3000 > ${rtu("010300000001")}`,
      ),
    );
    const { port, content, stop } = await playing(file, "--port", "0");
    expect(content).toContain("1 times none");
    const driver = driverOf({ transport: { type: "rtu-over-tcp", host: "127.0.0.1", port }, timeout: "200ms" });
    await driver.connect(live());
    const device = deviceOf({ unit: 1 }, { long: { address: "holding:0", type: "uint32" } });
    expect(await valuesOf(driver, device)).toEqual({ long: 0x00080009 });
    await driver.close();
    await stop();
  });
});

describe("a recording of a speaking device", () => {
  const link = {
    transport: { type: "tcp", host: "127.0.0.1", port: 4001 },
    framing: { type: "delimiter" },
  };
  const text = (words: string) => Buffer.from(words).toString("hex");

  async function heard(port: number, ask: string, until: string): Promise<string> {
    const socket = connect(port, "127.0.0.1");
    let all = "";
    await new Promise<void>((resolve, reject) => {
      socket.on("error", reject);
      socket.on("connect", () => ask === "" || socket.write(ask));
      socket.on("data", (chunk) => {
        all += chunk.toString();
        if (all.endsWith(until)) resolve();
      });
    });
    socket.destroy();
    return all;
  }

  it("says the same unasked, in the same pieces", async () => {
    const file = await recorded("serial", link, passedOf(1, "open", `< ${text("S 1.2")}`, `< ${text(" kg\r\n")}`));
    const { port, stop } = await playing(file, "--port", "0");
    expect(await heard(port, "", "kg\r\n")).toBe("S 1.2 kg\r\n");
    await stop();
  });

  it("answers each question with what followed it", async () => {
    const lines = [`> ${text("W\r")}`, `< ${text("1\r")}`, `> ${text("W\r")}`, `< ${text("2\r")}`];
    const { port, stop } = await playing(await recorded("serial", link, passedOf(1, "open", ...lines)), "--port", "0");
    expect(await heard(port, "W\r", "\r")).toBe("1\r");
    expect(await heard(port, "W\r", "\r")).toBe("2\r");
    expect(await heard(port, "W\r", "\r")).toBe("2\r");
    await stop();
  });
});

describe("millrace simulate --recording", () => {
  const run = async (...args: string[]) => {
    const io = testIo({ cwd: folder });
    return { code: await runSimulate(args, io, { drivers: driverModules, readRecording }), err: io.stderr() };
  };

  it("says what is wrong with a file or an option", async () => {
    await writeFile(join(folder, "text.pcapng"), "this is no capture file, although it is long enough to be one");
    expect(await run("--recording", "none.pcapng")).toMatchObject({ code: 66, err: expect.stringContaining("ENOENT") });
    expect(await run("--recording", "text.pcapng")).toMatchObject({
      code: 78,
      err: "millrace simulate: text.pcapng: this is no pcapng file\n",
    });
    expect(await run("--recording", "a", "b")).toMatchObject({ code: 64 });
    expect(await run("--recording", "a", "--at-end", "x")).toMatchObject({
      code: 64,
      err: expect.stringContaining('--at-end "x" is none of repeat, loop, silence'),
    });
    expect(await run("a.yaml", "--delays")).toMatchObject({
      code: 64,
      err: expect.stringContaining("needs --recording"),
    });
    const line = await recorded(
      "modbus",
      { transport: { type: "rtu", path: "/dev/ttyS1" } },
      passedOf(1, `> ${rtu("010300000001")}`, `< ${rtu("0103020007")}`),
    );
    expect(await run("--recording", line)).toMatchObject({
      code: 78,
      err: expect.stringContaining("give --path for a serial port, or --port"),
    });
  });
});
