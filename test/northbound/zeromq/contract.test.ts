import { createServer } from "node:net";
import { uplinkContract } from "../../contract/uplink.ts";
import { freePort } from "../../support/processes.ts";
import { ZmqRouter } from "../../support/zmq-router.ts";
import { zeroMqUplink } from "./harness.ts";

uplinkContract("zeromq", async () => {
  const router = await new ZmqRouter().listen();
  const port = await freePort();
  const mute = createServer((socket) => socket.on("error", () => {}));
  await new Promise<void>((resolve) => mute.listen(port, "127.0.0.1", resolve));
  const gone = await freePort();
  return {
    uplink: zeroMqUplink({ url: router.url }),
    received: () => router.received.map(({ body }) => body),
    holdAcks: () => {
      router.fate = () => "hold";
    },
    cut: () => router.close(),
    unreachable: () => zeroMqUplink({ url: `tcp://127.0.0.1:${gone}` }),
    silent: () => zeroMqUplink({ url: `tcp://127.0.0.1:${port}` }),
    dispose: async () => {
      router.close();
      await new Promise((resolve) => mute.close(resolve));
    },
  };
});
