import { generate, type Packet } from "mqtt-packet";
import { afterEach, describe, expect, it } from "vitest";
import { cleanUpAll, connected, connectPacket, publishPacket, RawClient, startBroker, waitFor } from "./support.ts";

afterEach(cleanUpAll);

/** mulberry32: the same bytes in every run. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const will = { topic: "plant/will", payload: Buffer.from("w"), qos: 2, retain: true } as const;
const PACKETS: readonly Packet[] = [
  connectPacket({ will }),
  connectPacket({ clientId: "__proto__", clean: false }),
  publishPacket("plant/a", "payload", 1, 1),
  publishPacket("plant/a", "payload", 2, 2),
  publishPacket("$SYS/a", "payload", 0),
  { cmd: "publish", topic: "r", payload: "kept", qos: 0, retain: true, dup: false },
  { cmd: "pubrel", messageId: 2 },
  { cmd: "pubrec", messageId: 3 },
  { cmd: "pubcomp", messageId: 2 },
  { cmd: "puback", messageId: 1 },
  {
    cmd: "subscribe",
    messageId: 4,
    subscriptions: [
      { topic: "#", qos: 2 },
      { topic: "+/+", qos: 0 },
    ],
  },
  { cmd: "subscribe", messageId: 5, subscriptions: [{ topic: "$share/a/b", qos: 1 }] },
  { cmd: "unsubscribe", messageId: 6, unsubscriptions: ["#", "plant/+"] },
  { cmd: "pingreq" },
  { cmd: "disconnect" },
];
const BYTES = PACKETS.map((packet) => generate(packet));

/** A row of packets, mostly behind a CONNECT, with some bytes changed, doubled, cut out or made up. */
function conversation(random: (below: number) => number): Buffer {
  const parts = random(10) > 0 ? [BYTES[random(2)] ?? Buffer.alloc(0)] : [];
  for (let count = random(8); count > 0; count -= 1) parts.push(BYTES[random(BYTES.length)] ?? Buffer.alloc(0));
  let bytes = Buffer.concat(parts);
  for (let count = random(4); count > 0 && bytes.length > 0; count -= 1) {
    const at = random(bytes.length);
    const made = Buffer.from(Array.from({ length: random(6) }, () => random(256)));
    const rest = at + random(3);
    bytes = Buffer.concat([bytes.subarray(0, at), made, bytes.subarray(rest)]);
  }
  return bytes;
}

describe("bytes at random", () => {
  it("crash nothing and leave nothing behind, over three thousand connections", async () => {
    const { broker, port, log } = await startBroker({
      limits: { connectTimeout: "5s", maxPacket: "4KiB", maxConnectionsPerAddress: 60 },
    });
    const random = randomOf(20_261_122);
    for (let round = 0; round < 60; round += 1) {
      const clients = Array.from({ length: 50 }, () => new RawClient(port));
      for (const client of clients) {
        const bytes = conversation(random);
        const cut = random(bytes.length + 1);
        client.sendBytes(bytes.subarray(0, cut));
        client.socket.end(bytes.subarray(cut));
      }
      for (const client of clients) await client.untilClosed();
    }
    await waitFor(() => broker.status().connections === 0, "no connection is left");
    expect(broker.status()).toMatchObject({ clients: 0, pending: 0 });
    expect(log.filter((line) => line.level === "error")).toEqual([]);
    const client = await connected(port, { clientId: "survivor" });
    client.send(publishPacket("plant/a", "alive", 1, 1));
    await client.until("puback");
  });
});
