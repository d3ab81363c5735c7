import { connect, createServer, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { answerBytes, placesIn } from "../../../drivers/serial/answer.ts";
import { checkLink } from "../../../drivers/serial/check.ts";
import type { SerialDriver } from "../../../drivers/serial/driver.ts";
import { serialModule } from "../../../drivers/serial/module.ts";
import type { Device } from "../../../gateway/core/driver.ts";
import { freePort } from "../../support/processes.ts";
import { deviceOf, driverOf, live, Notes, until, valuesOf } from "./bench.ts";

type Keys = Readonly<Record<string, unknown>>;
type Stored = (error?: Error) => void;

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step();
});

const PARSE = { pattern: "^(?<n>[0-9]+) (?<code>[A-Z]+)$" };
const TAGS = { n: { type: "int64", stream: "events" }, code: { type: "string", stream: "events" } };
const ANSWER = { accepted: "OK {n}\r\n", refused: "NO {n}\r\n" };

const scanner = (more: Keys = {}) => deviceOf("scanner", { parse: PARSE, answer: ANSWER, ...more }, TAGS);

/** A scanner over TCP, and a host that says when what it said is on disk. */
async function talk(device: Device = scanner()) {
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
  cleanup.push(() => server.close());
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const notes = new Notes();
  const transport = { type: "tcp", host: "127.0.0.1", port };
  const driver = driverOf({ transport, framing: { type: "delimiter" } }, notes);
  await driver.connect(live());
  await until(() => sockets.length > 0);
  cleanup.push(
    () => sockets.map((socket) => socket.destroy()),
    () => driver.close(),
  );
  const host = listenTo(driver, device);
  const say = async (text: string) => {
    const before = notes.of("bytes");
    sockets[0]?.write(text);
    await until(() => notes.of("bytes") >= before + text.length);
  };
  return { ...host, say, notes, heard: () => heard, driver };
}

function listenTo(driver: SerialDriver, device: Device) {
  const seen: Record<string, unknown>[] = [];
  const stored: (Stored | undefined)[] = [];
  const ending = new AbortController();
  const emit = (samples: Parameters<Parameters<SerialDriver["listen"]>[2]>[0], told?: Stored) => {
    seen.push(valuesOf(samples));
    stored.push(told);
  };
  driver.listen(device, device.tags, emit, ending.signal).catch(() => {});
  cleanup.push(() => ending.abort());
  return { seen, stored };
}

describe("a device that waits for an answer", () => {
  it("is answered when its telegram is on disk and not before, with the telegram's own number", async () => {
    const { say, stored, heard } = await talk();
    await say("7 ABC\r\n");
    await until(() => stored.length === 1);
    expect(heard()).toBe("");
    stored[0]?.();
    await until(() => heard() === "OK 7\r\n");
  });

  it("is refused where it cannot be kept, and what it repeats is new", async () => {
    const { say, seen, stored, heard, notes } = await talk(scanner({ holdOff: "1m" }));
    await say("7 ABC\r\n");
    await until(() => stored.length === 1);
    stored[0]?.(new Error("the disk is full"));
    await until(() => heard() === "NO 7\r\n");
    expect(notes.of("not-kept")).toBe(1);
    expect(notes.warnings[0]).toMatchObject({ device: "scanner", reason: "the disk is full" });
    await say("7 ABC\r\n");
    await until(() => stored.length === 2);
    stored[1]?.();
    await until(() => heard().endsWith("OK 7\r\n"));
    expect(seen).toHaveLength(2);
  });

  it("is answered again, once the first is on disk, when it repeats what was heard within the hold-off", async () => {
    const { say, seen, stored, heard } = await talk(scanner({ holdOff: "1m" }));
    await say("7 ABC\r\n");
    await say("7 ABC\r\n");
    expect([seen.length, heard()]).toEqual([1, ""]);
    stored[0]?.();
    await until(() => heard() === "OK 7\r\nOK 7\r\n");
  });

  it("is refused what cannot be read, and gets no answer where none is given", async () => {
    const { say, heard } = await talk();
    await say("what?\r\n");
    await until(() => heard() === "NO \r\n");
    const silent = await talk(scanner({ answer: { accepted: "\x06" } }));
    await silent.say("what?\r\n");
    await silent.say("8 D\r\n");
    await until(() => silent.stored.length === 2);
    silent.stored[1]?.();
    await until(() => silent.heard() === "\x06");
  });

  it("that connects by itself is answered alone", async () => {
    const port = await freePort();
    const notes = new Notes();
    const driver = driverOf({ transport: { type: "tcp-listen", port }, framing: { type: "delimiter" } }, notes);
    await driver.connect(live());
    cleanup.push(() => driver.close());
    const { stored } = listenTo(driver, scanner());
    const heard = ["", ""];
    const sockets = heard.map((_, at) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("data", (chunk) => {
        heard[at] += String(chunk);
      });
      cleanup.push(() => socket.destroy());
      return socket;
    });
    sockets[1]?.write("9 X\r\n");
    await until(() => stored.length === 1);
    stored[0]?.();
    await until(() => heard[1] === "OK 9\r\n");
    expect(heard[0]).toBe("");
  });
});

describe("an answer", () => {
  it("says fields back without what a device could take for an order", () => {
    const fields = (name: string) => (name === "n" ? "1\x062" : undefined);
    expect(answerBytes("A{n}{m}\r", fields).toString("latin1")).toBe("A12\r");
    expect(answerBytes({ hex: "06" }, undefined)).toEqual(Buffer.from([6]));
    expect(placesIn("A{n} {item.code}{ no}")).toEqual(["n", "item.code"]);
  });

  it.each([
    [{ answer: { accepted: "OK {x}" } }, 'no field "x" in the telegram: there are n, code'],
    [{ answer: ANSWER, minInterval: "1s" }, "each telegram of a device that is answered is taken"],
    [{ answer: ANSWER, ask: "?" }, "it is for devices that speak by themselves"],
  ])("%j is refused: %s", (keys, message) => {
    const device = { name: "scanner", parse: PARSE, ...keys };
    const tags = Object.entries(TAGS).map(([name, { type }]) => ({ name, type }));
    const link = serialModule.linkSchema.parse({ transport: { path: "/dev/x" }, framing: { type: "delimiter" } });
    const parsed = serialModule.deviceSchema.parse({ parse: PARSE, ...keys });
    const faults = checkLink({
      ...link,
      devices: [
        {
          ...parsed,
          name: device.name,
          tags: tags.map(({ name, type }) => ({ ...serialModule.tagSchema.parse({ type }), name })),
        },
      ],
    });
    expect(faults.map((fault) => fault.message).join()).toContain(message);
  });
});
