import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectAsync, type MqttClient } from "mqtt";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  freePort,
  millrace,
  mosquitto,
  needProgram,
  type Process,
  ptyPair,
  root,
  scratch,
  startGateway,
  until,
} from "../support/processes.ts";

/** The shipped examples run as they are, but for addresses: loopback ports, a pseudo-terminal, a scratch data folder. */

let home: ReturnType<typeof scratch>;
let cleanup: (() => Promise<unknown> | unknown)[];
beforeEach(() => {
  home = scratch("examples");
  cleanup = [() => home.remove()];
});
afterEach(async () => {
  for (const step of cleanup.reverse()) await step();
});

/** Replaces each text once, and insists that it stood there. */
function adapt(file: string, replacements: readonly (readonly [string, string])[]): string {
  let text = readFileSync(join(root, "examples", file), "utf8");
  for (const [from, to] of replacements) {
    expect(text, `${file} contains ${from}`).toContain(from);
    text = text.replace(from, to);
  }
  const target = join(home.path, file.replaceAll("/", "-"));
  writeFileSync(target, text);
  return target;
}

async function gateway(config: string, env: Record<string, string> = {}): Promise<Process> {
  const started = await startGateway(config, env);
  cleanup.push(async () => expect(await started.stop()).toBe(0));
  return started;
}

/** Everything that arrives, by topic. */
async function listen(port: number, options: object = {}): Promise<{ client: MqttClient; seen: Map<string, Buffer> }> {
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5, ...options });
  cleanup.push(() => client.endAsync(true));
  const seen = new Map<string, Buffer>();
  client.on("message", (topic, payload) => void seen.set(topic, payload));
  await client.subscribeAsync("#", { qos: 1 });
  return { client, seen };
}

function json(payload: Buffer | undefined): { values: Record<string, unknown>; errors?: Record<string, string> } {
  return JSON.parse(payload?.toString() ?? "{}") as { values: Record<string, unknown> };
}

describe("examples", () => {
  it("quick-start.yaml polls a PLC and delivers", async () => {
    const plc = await freePort();
    const upstream = await mosquitto(join(home.path, "mosquitto"));
    cleanup.push(() => upstream.stop());
    const device = millrace(["simulate", adapt("devices/press.yaml", [["port: 5020", `port: ${plc}`]])]);
    cleanup.push(() => device.stop());
    const { seen } = await listen(upstream.port);
    const file = adapt("quick-start.yaml", [
      ["port: 5020", `port: ${plc}`],
      ["mqtt://broker.example.com:1883", `mqtt://127.0.0.1:${upstream.port}`],
      ["minFree: 512MiB", "minFree: 16MiB"],
    ]);
    writeFileSync(file, `${readFileSync(file, "utf8")}\nhttp: { port: 0 }\nbroker: { listeners: [{ port: 0 }] }\n`);
    await gateway(file);
    const topic = "acme/press-shop-01/plant/line-1/press-1";
    await until("values of the press", () => seen.has(topic) && seen.has("acme/press-shop-01/status"), 15_000);
    await until(
      "a temperature",
      () => typeof json(seen.get(topic)).values["oil"] === "number" || seen.has(topic),
      15_000,
    );
    expect(json(seen.get(topic)).errors).toBeUndefined();
  });

  it("rs485-line.yaml polls units on a serial line, those that are there", async () => {
    const line = await ptyPair(home.path);
    cleanup.push(line.stop);
    const upstream = await mosquitto(join(home.path, "mosquitto"));
    cleanup.push(() => upstream.stop());
    const meter = join(home.path, "meter.yaml");
    writeFileSync(
      meter,
      `driver: modbus
transport: { type: rtu, path: ${line.b}, baud: 19200, parity: even }
units:
${[1, 2, 3]
  .map(
    (unit) => `  - unit: ${unit}
    registers:
      - { address: "input:0", type: float32, value: { wave: constant, max: 230.5 } }
      - { address: "input:6", type: float32, value: { wave: constant, max: 12.25 } }
      - { address: "input:52", type: float32, value: { wave: constant, max: ${unit} } }
      - { address: "input:72", type: float32, value: { wave: constant, max: 1000 } }`,
  )
  .join("\n")}
`,
    );
    const device = millrace(["simulate", meter]);
    cleanup.push(() => device.stop());
    const { client, seen } = await listen(upstream.port);
    // A dead unit is told once for each of its groups, in no order.
    const bad = new Set<string>();
    client.on("message", (topic, payload) => {
      if (topic === "plant/energy/meter-4" && json(payload).errors?.["power"] === "timeout") bad.add("power");
    });
    const file = adapt("rs485-line.yaml", [
      ["/dev/serial/by-id/usb-FTDI_FT232R_A50285BI-if00-port0", line.a],
      ["mqtt://192.0.2.20:1883", `mqtt://127.0.0.1:${upstream.port}`],
    ]);
    writeFileSync(
      file,
      `${readFileSync(file, "utf8")}\nhttp: { port: 0 }\nbroker: { listeners: [{ port: 0 }] }\nqueue: { minFree: 16MiB }\n`,
    );
    await gateway(file);
    for (const unit of [1, 2, 3]) {
      await until(
        `power of meter ${unit}`,
        () => json(seen.get(`plant/energy/meter-${unit}`)).values?.["power"] === unit,
        20_000,
      );
    }
    await until("meter 4 is told as bad", () => bad.has("power"), 20_000);
  });

  it("mqtt-sensors.yaml captures local messages and delivers over TLS with a client certificate", async () => {
    const certs = join(home.path, "certs");
    mkdirSync(certs);
    certificates(certs);
    const tlsPort = await freePort();
    const upstream = await mosquitto(
      join(home.path, "mosquitto"),
      `listener ${tlsPort} 127.0.0.1\ncafile ${certs}/ca.pem\ncertfile ${certs}/server.pem\nkeyfile ${certs}/server.key\nrequire_certificate true\nallow_anonymous true`,
    );
    cleanup.push(() => upstream.stop());
    const local = await freePort();
    const { seen } = await listen(upstream.port);
    const file = adapt("mqtt-sensors.yaml", [
      ["port: 1883", `port: ${local}`],
      ["mqtts://broker.example.com:8883", `mqtts://localhost:${tlsPort}`],
      ["mqtt://192.0.2.30:1883", `mqtt://127.0.0.1:${upstream.port}`],
      ["port: 8080", "port: 0"],
      ["minFree: 1GiB", "minFree: 16MiB"],
    ]);
    await gateway(file, { MILLRACE_CLOUD_PASSWORD: "not-a-default" });
    const scanner = await connectAsync(`mqtt://127.0.0.1:${local}`, { protocolVersion: 4 });
    cleanup.push(() => scanner.endAsync(true));
    await scanner.publishAsync("plant/scan/1", "4006381333931", { qos: 1 });
    await scanner.publishAsync("plant/alarm/3", '{"code":17}', { qos: 1 });
    await until(
      "the scan, over TLS",
      () => seen.get("acme/dock-07/plant/scan/1")?.toString() === "4006381333931",
      15_000,
    );
    await until(
      "the alarm, on both uplinks",
      () => seen.has("plant/alarm/3") && seen.has("acme/dock-07/plant/alarm/3"),
      15_000,
    );
    expect(seen.has("plant/scan/1")).toBe(false);
  });
});

/** A CA, a server and a client certificate, as the example names them. */
function certificates(folder: string): void {
  const openssl = needProgram("openssl", "openssl");
  const run = (...args: string[]) => execFileSync(openssl, args, { cwd: folder, stdio: "ignore" });
  run(
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-keyout",
    "ca.key",
    "-out",
    "ca.pem",
    "-days",
    "2",
    "-subj",
    "/CN=test ca",
  );
  for (const [name, host] of [
    ["server", "localhost"],
    ["dock-07", "dock-07"],
  ]) {
    writeFileSync(join(folder, `${name}.ext`), `subjectAltName=DNS:${host}\n`);
    run(
      "req",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      "-keyout",
      `${name}.key`,
      "-out",
      `${name}.csr`,
      "-subj",
      `/CN=${host}`,
    );
    run(
      "x509",
      "-req",
      "-in",
      `${name}.csr`,
      "-CA",
      "ca.pem",
      "-CAkey",
      "ca.key",
      "-CAcreateserial",
      "-out",
      `${name}.pem`,
      "-days",
      "2",
      "-extfile",
      `${name}.ext`,
    );
  }
}
