import { createServer } from "node:net";
import { SimulatedRtuServer } from "../../../drivers/modbus/simulator/rtu-server.ts";
import { SimulatedUnit } from "../../../drivers/modbus/simulator/server.ts";
import { SimulatedTcpServer } from "../../../drivers/modbus/simulator/tcp-server.ts";
import { driverContract } from "../../contract/driver.ts";
import { deviceOf, driverOf } from "./bench.ts";
import { ptyPair } from "./pty.ts";

const TAGS = {
  speed: { address: "holding:0", type: "uint16" },
  energy: { address: "holding:300", type: "float32", order: "CDAB" },
  running: { address: "coil:3", type: "bool" },
};

function units(): SimulatedUnit[] {
  const unit = new SimulatedUnit(1);
  unit.registers.set("holding", 0, [1200]);
  unit.registers.set("holding", 300, [0, 0x4148]);
  unit.registers.set("coil", 3, [1]);
  const silent = new SimulatedUnit(2);
  silent.silent = true;
  return [unit, silent];
}

driverContract("modbus over tcp", async () => {
  const server = new SimulatedTcpServer("127.0.0.1", 0, units());
  await server.start();
  const { port } = server.address;
  const driver = driverOf({ transport: { type: "tcp", host: "127.0.0.1", port }, timeout: "600ms" });
  return {
    driver,
    unreachable: driverOf({ transport: { type: "tcp", host: "127.0.0.1", port: await closedPort() } }),
    device: deviceOf({ unit: 1 }, TAGS),
    silent: deviceOf({ unit: 2 }, TAGS),
    cut: () => Promise.resolve(server.dropConnections()),
    stop: () => server.stop(),
  };
});

driverContract("modbus over rtu", async () => {
  const line = await ptyPair();
  const server = new SimulatedRtuServer(
    { type: "rtu", path: line.b, baud: 115_200, parity: "none", dataBits: 8 },
    units(),
  );
  await server.start();
  const transport = { type: "rtu", path: line.a, baud: 115_200, parity: "none" };
  return {
    driver: driverOf({ transport, timeout: "600ms" }),
    unreachable: driverOf({ transport: { ...transport, path: `${line.a}-not-there` } }),
    device: deviceOf({ unit: 1 }, TAGS),
    silent: deviceOf({ unit: 2 }, TAGS),
    async stop() {
      await server.stop();
      await line.stop();
    },
  };
});

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== "object" || !address) throw new Error("no port");
  return address.port;
}
