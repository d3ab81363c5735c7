import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect as tcp } from "node:net";
import { connect as tls } from "node:tls";
import { connect, type IClientOptions } from "mqtt";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import WebSocket from "ws";
import { Authority, type Issued } from "../support/authority.ts";
import { scratch } from "../support/processes.ts";
import { cleanUp, cleanUpAll, makeBroker, waitFor } from "./support.ts";

const home = scratch("listeners");
let server: Issued;
let press: Issued;
let stranger: Issued;
let ca: Authority;
beforeAll(() => {
  ca = new Authority(home.path, "plant");
  server = ca.issue("server", "localhost");
  press = ca.issue("press", "press-1");
  stranger = new Authority(home.path, "elsewhere").issue("stranger", "press-1");
}, 30_000);
afterAll(() => home.remove());
afterEach(cleanUpAll);

const everything = { publish: ["#"], subscribe: ["#"] };

async function open(listener: object, options: object = {}) {
  const { broker, log } = makeBroker({ listeners: [{ port: 0, ...listener }], ...options });
  await broker.start();
  cleanUp(() => broker.stop());
  return { broker, log, port: broker.addresses()[0]?.port ?? 0 };
}

async function talk(url: string, options: IClientOptions = {}): Promise<string> {
  const client = connect(url, { reconnectPeriod: 0, connectTimeout: 5000, ...options });
  try {
    await new Promise((resolve, reject) => {
      client.once("connect", resolve).once("error", reject);
      client.once("close", () => reject(new Error("closed")));
    });
    await client.subscribeAsync("talk", { qos: 1 });
    const heard = new Promise<[string, Buffer]>((resolve) => {
      client.once("message", (topic, payload) => resolve([topic, payload]));
    });
    await client.publishAsync("talk", "x".repeat(100_000), { qos: 1 });
    const [topic, payload] = await heard;
    return `${topic} ${payload.length}`;
  } finally {
    await client.endAsync(true);
  }
}
const trusting = () => ({ ca: readFileSync(ca.ca), servername: "localhost" });
const showing = ({ cert, key }: Issued) => ({ ...trusting(), cert: readFileSync(cert), key: readFileSync(key) });

describe("a TLS listener", () => {
  it("serves MQTT over TLS 1.2 and 1.3, and nothing older", async () => {
    const { port } = await open({ type: "tls", ...server });
    expect(await talk(`mqtts://127.0.0.1:${port}`, trusting())).toBe("talk 100000");
    const former = tls({ port, host: "127.0.0.1", ...trusting(), maxVersion: "TLSv1.2" });
    await once(former, "secureConnect");
    expect([former.getProtocol(), former.getCipher().name]).toEqual(["TLSv1.2", expect.stringMatching(/^ECDHE.*GCM/)]);
    former.destroy();
    const old = tls({ port, host: "127.0.0.1", ...trusting(), minVersion: "TLSv1", maxVersion: "TLSv1.1" });
    const failed: unknown[] = await once(old, "error");
    expect(String(failed[0])).toMatch(/protocol|alert|no protocols/i);
  });

  it("takes the CN of a certificate as the user where it is required, and no other", async () => {
    const users = [{ name: "press-1", ...everything }];
    const { port, broker } = await open({ type: "tls", ...server, ca: ca.ca, requireClientCert: true }, { users });
    const url = `mqtts://127.0.0.1:${port}`;
    expect(await talk(url, showing(press))).toBe("talk 100000");
    await expect(talk(url, trusting())).rejects.toThrow();
    await expect(talk(url, showing(stranger))).rejects.toThrow();
    await expect(talk(url, showing(server))).rejects.toThrow(/Not authorized/);
    await expect(talk(url, { ...showing(press), username: "other" })).rejects.toThrow(/Not authorized/);
    await waitFor(() => broker.status().connections === 0, "all gone");
  });

  it("closes who shakes hands too slowly, or speaks no TLS", async () => {
    const { port, log } = await open({ type: "tls", ...server }, { limits: { connectTimeout: "150ms" } });
    const slow = tcp(port, "127.0.0.1");
    await once(slow, "close");
    const plain = tcp(port, "127.0.0.1");
    plain.on("error", () => {}).write("GET / HTTP/1.1\r\n\r\n");
    await once(plain, "close");
    const reasons = log.map(({ fields }) => ("reason" in fields ? fields.reason : ""));
    expect(reasons).toEqual(expect.arrayContaining(["connect-timeout", "tls"]));
  });

  it("does not open without a usable certificate, and names it", async () => {
    await expect(open({ type: "tls", ...server, cert: "/none.pem" })).rejects.toThrow("/none.pem cannot be read");
    await expect(open({ type: "tls", ...server, key: press.key })).rejects.toThrow("the key is of another one");
  });
});

describe("a WebSocket listener", () => {
  it("serves MQTT, with and without TLS", async () => {
    const plain = await open({ type: "ws" });
    expect(await talk(`ws://127.0.0.1:${plain.port}/mqtt`)).toBe("talk 100000");
    const secure = await open({ type: "wss", ...server, path: "/own" });
    expect(await talk(`wss://localhost:${secure.port}/own`, trusting())).toBe("talk 100000");
    await waitFor(() => plain.broker.status().connections + secure.broker.status().connections === 0, "all gone");
  });

  it.each([
    ["another path", "/other", ["mqtt"], {}, 404],
    ["a page of another site", "/mqtt", ["mqtt"], { origin: "http://evil.example" }, 403],
    ["no subprotocol", "/mqtt", [], {}, 400],
  ])("refuses %s", async (_what, path, protocols, headers, status) => {
    const { port, broker } = await open({ type: "ws", origins: ["http://hmi.local"] });
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, protocols, { headers });
    socket.on("error", () => {});
    const answer: unknown[] = await once(socket, "unexpected-response");
    expect(answer[1]).toMatchObject({ statusCode: status });
    await waitFor(() => broker.status().cut === 1, "cut");
    const hmi = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, "mqtt", { headers: { origin: "http://hmi.local" } });
    await once(hmi, "open");
    hmi.terminate();
  });

  it("closes who asks for a page, is slow, or sends too much at once", async () => {
    const { port, broker } = await open({ type: "ws" }, { limits: { connectTimeout: "300ms", maxPacket: "1KiB" } });
    const page = await fetch(`http://127.0.0.1:${port}/`);
    expect(page.status).toBe(426);
    const slow = tcp(port, "127.0.0.1");
    slow.write("GET /mqtt HTTP/1.1\r\n");
    await once(slow, "close");
    const idle = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, "mqtt");
    await once(idle, "close");
    const big = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, "mqtt");
    await once(big, "open");
    big.send(Buffer.alloc(100_000));
    await once(big, "close");
    await waitFor(() => broker.status().connections === 0, "all gone");
  });
});
