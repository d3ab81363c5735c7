import { Buffer } from "node:buffer";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { modbusModule } from "../../drivers/modbus/module.ts";
import { WholeBlocks } from "../../gateway/cli/record/whole-blocks.ts";
import { runRecord } from "../../gateway/cli/record.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { recorderOptions } from "../../gateway/core/options/recorder.ts";
import { ControlServer } from "../../gateway/http/control.ts";
import { readRecording } from "../../gateway/recorder/read-recording.ts";
import { Recorder } from "../../gateway/recorder/recorder.ts";
import { testIo } from "../cli/io.ts";
import { ENDS, HandClock } from "./support.ts";

const ASK = Buffer.from("000100000006010300000001", "hex");
let folder = "";
let recorder: Recorder;
let control: ControlServer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "millrace-record-"));
  await mkdir(join(folder, "data", "state"), { recursive: true });
  const transport = { type: "tcp", host: "192.0.2.10", port: 1502 };
  const capture = modbusModule.recording?.capture(modbusModule.linkSchema.parse({ transport }), []);
  const options = recorderOptions.parse({});
  recorder = new Recorder({
    dataDir: join(folder, "data"),
    gatewayId: "shop",
    version: "1.2.3",
    clock: new HandClock(),
    log: silentLogger,
    minFree: 0,
    links: [{ name: "plc-1", driver: "modbus", options, capture }],
  });
  recorder.tap("plc-1")?.opened(ENDS);
  recorder.tap("plc-1")?.sent(ASK);
  const none = () => {
    throw new Error("not asked for here");
  };
  control = new ControlServer({
    dataDir: join(folder, "data"),
    gatewayId: "shop",
    inspector: none,
    encode: none,
    recorder,
    log: silentLogger,
  });
  await control.start();
});
afterEach(async () => {
  await control.stop();
  await rm(folder, { recursive: true, force: true });
});

async function run(...args: string[]) {
  const io = testIo({ cwd: folder });
  const code = await runRecord([...args, "--data", "data"], io);
  return { code, out: io.stdout(), err: io.stderr() };
}

describe("millrace record", () => {
  it("writes what the gateway holds, for its user only", async () => {
    const { code, out } = await run("plc-1", "-o", "x.pcapng", "--json");
    expect(code).toBe(0);
    const { file, packets } = JSON.parse(out);
    expect([file, packets]).toEqual([join(folder, "x.pcapng"), 4]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(readRecording(await readFile(file)).packets).toHaveLength(1);
  });

  it("follows for a time", async () => {
    const { code, out } = await run("plc-1", "--for", "20ms", "--json");
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ link: "plc-1", packets: 0 });
    expect(JSON.parse(out).file).toMatch(/\/plc-1-\d{8}T\d{6}Z\.pcapng$/);
  });

  it("shows the links", async () => {
    const { code, out } = await run();
    expect(code).toBe(0);
    expect(out).toBe("plc-1  modbus tcp 192.0.2.10:1502: 12 B in 2 chunks, of 0 ms\n");
    expect(JSON.parse((await run("--json")).out).links).toHaveLength(1);
  });

  it("says what is wrong, and leaves nothing behind", async () => {
    expect(await run("plc")).toMatchObject({
      code: 78,
      err: 'millrace record: there is no link "plc"; there are: plc-1\n',
    });
    expect(await run("plc-1", "--for", "soon")).toMatchObject({ code: 64 });
    expect(await run("plc-1", "plc-2")).toMatchObject({ code: 64 });
    expect(await run("plc-1", "-o", "no/such/folder/x.pcapng")).toMatchObject({ code: 74 });
    await control.stop();
    expect(await run("plc-1")).toMatchObject({
      code: 69,
      err: `millrace record: no gateway runs on ${join(folder, "data")}: millrace run starts it\n`,
    });
    expect(await readdir(folder)).toEqual(["data"]);
  });

  it("keeps whole blocks of a capture that breaks off", async () => {
    const { out } = await run("plc-1", "-o", "x.pcapng", "--json");
    const file = await readFile(JSON.parse(out).file);
    for (let cut = 1; cut < file.length; cut++) {
      const blocks = new WholeBlocks();
      const whole = Buffer.concat([blocks.take(file.subarray(0, cut >> 1)), blocks.take(file.subarray(cut >> 1, cut))]);
      expect(whole.equals(file.subarray(0, whole.length))).toBe(true);
      expect(blocks.bytes).toBe(whole.length);
    }
  });
});
