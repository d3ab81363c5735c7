// The far side of the Modbus benchmarks: many servers on libmodbus in one process, built from modbus-servers.c.
import { execFileSync, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { root } from "./support.mjs";

/** Why they cannot be built here; undefined where they can. */
export function missing() {
  if (!existsSync("/usr/bin/gcc")) return "gcc is not installed";
  return existsSync("/usr/include/modbus/modbus.h") ? undefined : "libmodbus-dev is not installed";
}

/**
 * Starts so many servers. They end with this process, whatever becomes of it.
 * @returns {Promise<{ports: number[], pid: number, stop(): Promise<number>}>} `stop` gives the requests they answered.
 */
export async function modbusServers(folder, servers, registers, tickMs) {
  const program = join(folder, "modbus-servers");
  const source = join(root, "test/bench/modbus-servers.c");
  execFileSync("gcc", ["-O2", "-o", program, source, "-I/usr/include/modbus", "-lmodbus"]);
  const child = spawn(program, [servers, registers, tickMs].map(String), { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const lines = createInterface({ input: child.stdout });
  const line = (word) =>
    new Promise((resolve, reject) => {
      lines.on("line", (text) => text.startsWith(`${word} `) && resolve(text.split(" ").slice(1).map(Number)));
      void ended.then((code) => reject(new Error(`modbus-servers ended with ${code}`)));
    });
  const served = line("served");
  served.catch(() => {});
  const ports = await line("ports");
  return {
    ports,
    pid: child.pid,
    async stop() {
      child.kill("SIGTERM");
      const [requests] = await served;
      await ended;
      return requests;
    },
  };
}
