import { createServer, type Socket } from "node:net";
import { driverContract } from "../../contract/driver.ts";
import { ptyPair } from "../modbus/pty.ts";
import { deviceOf, driverOf, farEnd } from "./bench.ts";

const FRAMING = { type: "delimiter", delimiter: "\r\n" };
const PARSE = { pattern: "^A(?<a>[0-9]+) B(?<b>[0-9,]+)$" };
const TAGS = {
  a: { type: "int64" },
  b: { type: "float64", decimal: "comma" },
  c: { type: "int64", field: "a", ask: "C?\r\n" },
};
const device = () => deviceOf("scale", { parse: PARSE, ask: "A?\r\n" }, TAGS);
const silent = () => deviceOf("gone", { parse: PARSE, ask: "X?\r\n", timeout: "50ms" }, { a: { type: "int64" } });
const speaker = () => deviceOf("scanner", {}, { code: { type: "string", stream: "events" } });
const LINK = { framing: FRAMING, timeout: "5s" };

/** Answers A? and C?, and never X?. */
function answer(question: string): string {
  return question.replaceAll(/[AC]\?\r\n/g, "A12 B3,5\r\n").replaceAll(/X\?\r\n/g, "");
}

driverContract("serial over tcp", async () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (chunk) => socket.write(answer(chunk.toString("latin1"))));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const driver = driverOf({ ...LINK, transport: { type: "tcp", host: "127.0.0.1", port } });
  return {
    driver,
    unreachable: driverOf({ ...LINK, transport: { type: "tcp", host: "127.0.0.1", port: 1 } }),
    device: device(),
    silent: silent(),
    speaker: speaker(),
    speak: () => {
      for (const socket of sockets) socket.write("hello\r\n");
    },
    cut: async () => {
      const closed = [...sockets].map((socket) => new Promise((resolve) => socket.once("close", resolve)));
      for (const socket of sockets) socket.destroy();
      await Promise.all(closed);
      await new Promise((resolve) => setImmediate(resolve));
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
});

driverContract("serial over a serial port", async () => {
  const line = await ptyPair();
  const far = await farEnd(line.b);
  far.onData = (text) => void far.say(answer(text));
  const transport = { path: line.a, baud: 115_200 };
  return {
    driver: driverOf({ ...LINK, transport }),
    unreachable: driverOf({ ...LINK, transport: { path: `${line.a}-not-there` } }),
    device: device(),
    silent: silent(),
    speaker: speaker(),
    speak: () => void far.say("hello\r\n"),
    stop: async () => {
      await far.close();
      await line.stop();
    },
  };
});
