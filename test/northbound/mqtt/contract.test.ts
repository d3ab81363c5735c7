import { createServer } from "node:net";
import type { Uplink } from "../../../gateway/core/uplink.ts";
import { uplinkContract } from "../../contract/uplink.ts";
import { StrictBroker } from "../../support/strict-broker.ts";
import { mqttUplink } from "./harness.ts";

for (const version of [5, 4] as const) {
  uplinkContract(`mqtt version ${version}`, async () => {
    const broker = await new StrictBroker().listen();
    const mute = await new StrictBroker({ connack: "silent" }).listen();
    const gone = await freePort();
    const to = (url: string): Uplink => mqttUplink({ url, version });
    return {
      uplink: to(broker.url),
      received: () => broker.publishes.map((one) => one.payload.toString()),
      holdAcks: () => {
        broker.script = { puback: () => ({ ack: false }) };
      },
      cut: () => broker.session.socket.resetAndDestroy(),
      unreachable: () => to(`mqtt://127.0.0.1:${gone}`),
      silent: () => to(mute.url),
      dispose: async () => {
        await broker.close();
        await mute.close();
      },
    };
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
