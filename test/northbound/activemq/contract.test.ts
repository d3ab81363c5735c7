import { createServer } from "node:net";
import { uplinkContract } from "../../contract/uplink.ts";
import { Amqp1Broker } from "../../support/amqp1-broker.ts";
import { activemqUplink } from "./harness.ts";

uplinkContract("activemq", async () => {
  const broker = await new Amqp1Broker().listen();
  const mute = createServer((socket) => socket.on("error", () => {}));
  const mutePort = await listening(mute);
  const free = createServer();
  const gone = await listening(free);
  await new Promise<void>((resolve) => free.close(() => resolve()));
  return {
    uplink: activemqUplink({ url: broker.url }),
    received: () => broker.got.map(({ text }) => text),
    holdAcks: () => {
      broker.script = { fate: () => "hold" };
    },
    cut: () => broker.cut(),
    unreachable: () => activemqUplink({ url: `amqp://127.0.0.1:${gone}` }),
    silent: () => activemqUplink({ url: `amqp://127.0.0.1:${mutePort}` }),
    dispose: async () => {
      await broker.close();
      mute.close();
    },
  };
});

async function listening(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
