import { createServer } from "node:net";
import { uplinkContract } from "../../contract/uplink.ts";
import { AmqpBroker } from "../../support/amqp-broker.ts";
import { rabbitUplink } from "./harness.ts";

uplinkContract("rabbitmq", async () => {
  const broker = await new AmqpBroker().listen();
  const mute = await new AmqpBroker({ mute: true }).listen();
  const gone = await freePort();
  return {
    uplink: rabbitUplink({ url: broker.url }),
    received: () => broker.publishes.map(({ body }) => body.toString()),
    holdAcks: () => {
      broker.script = { fate: () => "hold" };
    },
    cut: () => broker.cut(),
    unreachable: () => rabbitUplink({ url: `amqp://127.0.0.1:${gone}` }),
    silent: () => rabbitUplink({ url: mute.url }),
    dispose: async () => {
      await broker.close();
      await mute.close();
    },
  };
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
