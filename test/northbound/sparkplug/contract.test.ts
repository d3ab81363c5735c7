import { createServer } from "node:net";
import { DataType, fromWire } from "../../../gateway/northbound/sparkplug/datatype.ts";
import { uplinkContract } from "../../contract/uplink.ts";
import { edgeNode } from "./plant.ts";
import { NodeServer } from "./server.ts";

for (const options of [{ version: 5 }, { version: 4 }, { version: 5, dataQos: 1 }]) {
  uplinkContract(`sparkplug ${JSON.stringify(options)}`, async () => {
    const server = await new NodeServer().listen();
    const mute = await new NodeServer().listen();
    mute.silent = true;
    const gone = await freePort();
    const to = (url: string) => edgeNode({ ...options, url })();
    return {
      uplink: to(server.url),
      received: () =>
        server.said.flatMap(({ type, payload }) =>
          type === "NDATA"
            ? payload.metrics.map(({ wire }) => String(wire === undefined ? "" : fromWire(wire, DataType.String)))
            : [],
        ),
      holdAcks: () => {
        server.answers = false;
      },
      cut: () => server.last.socket.resetAndDestroy(),
      unreachable: () => to(`mqtt://127.0.0.1:${gone}`),
      silent: () => to(mute.url),
      dispose: async () => {
        await server.close();
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
