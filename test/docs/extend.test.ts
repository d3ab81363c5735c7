import { writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it } from "vitest";
import { fileModule } from "../../examples/extend/file-driver.ts";
import { lineModule } from "../../examples/extend/line-uplink.ts";
import { driverModules, uplinkModules } from "../../gateway/config/modules.ts";
import type { Tag } from "../../gateway/core/driver.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import { Secret } from "../../gateway/core/secret.ts";
import { loadText } from "../config/support.ts";
import { driverContract } from "../contract/driver.ts";
import { uplinkContract } from "../contract/uplink.ts";
import { scratch } from "../support/processes.ts";

/** The examples of docs/write-a-driver.md and docs/write-an-uplink.md keep what every driver and uplink promises. */
driverContract("the example driver", () => {
  const folder = scratch("file-driver");
  const tag = (name: string): Tag => {
    const path = join(folder.path, name);
    writeFileSync(path, "21500\n");
    return { name, everyMs: 1000, stream: "telemetry", type: "float64", options: { path } };
  };
  const clock = { bootId: "test", now: () => ({ wallMs: 1, monoMs: performance.now(), clock: "synced" as const }) };
  return Promise.resolve({
    driver: fileModule.create({}, { link: "board", clock, log: silentLogger, metrics: noMetrics }),
    device: { name: "board", link: "board", topic: "board", tags: [tag("cpu"), tag("disk")], options: {} },
    stop: () => Promise.resolve(folder.remove()),
  });
});

uplinkContract("the example uplink", async () => {
  const received: string[] = [];
  const sockets = new Set<Socket>();
  let holding = false;
  const receiver = await listening((socket) => {
    sockets.add(socket);
    socket.write("ready\n");
    const lines = createInterface({ input: socket }).on("error", () => {});
    lines.on("line", (line) => {
      const { number, body }: { number: string; body: string } = JSON.parse(line);
      received.push(body);
      if (!holding) socket.write(`${number}\n`);
    });
  });
  const mute = await listening((socket) => sockets.add(socket));
  const gone = await listening(() => {});
  await over(gone.server);
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    uplink: uplink(receiver.port),
    received: () => received,
    holdAcks: () => {
      holding = true;
    },
    cut,
    unreachable: () => uplink(gone.port),
    silent: () => uplink(mute.port),
    dispose: async () => {
      cut();
      await Promise.all([over(receiver.server), over(mute.server)]);
    },
  };
});

it("a configuration may name them once they are in the lists of modules", async () => {
  const text = `gateway: { id: board-1 }
links:
  - name: board
    driver: file
    devices: [ { name: board, topic: plant/board, tags: [ { name: cpu, path: /sys/class/thermal/thermal_zone0/temp, scale: 0.001 } ] } ]
uplinks: [ { name: collector, type: line, host: 127.0.0.1, port: 7000 } ]
`;
  const loaded = await loadText(text, {
    drivers: [...driverModules, fileModule],
    uplinks: [...uplinkModules, lineModule],
  });
  expect(loaded.links[0]?.driver.name).toBe("file");
  expect(loaded.uplinks[0]?.module.name).toBe("line");
});

async function listening(take: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    take(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return { server, port: address.port };
}

const over = (server: Server) => new Promise<void>((resolve) => void server.close(() => resolve()));

function uplink(port: number) {
  return lineModule.create(
    { host: "127.0.0.1", port },
    {
      name: "collector",
      gatewayId: "board-1",
      log: silentLogger,
      metrics: noMetrics,
      secret: () => new Secret("", "none"),
      path: (relative) => relative,
    },
  );
}
