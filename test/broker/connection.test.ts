import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { generate } from "mqtt-packet";
import { afterEach, describe, expect, it } from "vitest";
import { type ConnectionLimits, GuardedConnection } from "../../gateway/broker/connection.ts";
import { cleanUp, cleanUpAll, connectPacket, publishPacket, RawClient, waitFor } from "./support.ts";

afterEach(cleanUpAll);

const LIMITS: ConnectionLimits = {
  maxPacket: 1000,
  maxConnectPacket: 1000,
  maxMessageRate: 10_000,
  connectTimeoutMs: 5000,
  maxPending: 3,
  maxPendingBytes: 500,
  maxUnsentBytes: 4096,
  graceMs: 30,
  slowTimeoutMs: 100,
};

/** One guarded connection, its far end, and what happened to it. */
async function pair(limits: Partial<ConnectionLimits> = {}) {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanUp(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
      }),
  );
  const address = server.address();
  const client = new RawClient(typeof address === "object" && address !== null ? address.port : 0);
  const accepted: unknown[] = await once(server, "connection");
  const socket = accepted[0] as Socket;
  const cuts: string[] = [];
  let connects = 0;
  const budget = { used: 0, max: 10_000 };
  const connection = new GuardedConnection(socket, { address: "test" }, { ...LIMITS, ...limits }, budget, {
    monoMs: () => performance.now(),
    onThrottled: () => {},
    onConnect: () => {
      connects += 1;
    },
    onCut: (_connection, reason) => cuts.push(reason),
  });
  cleanUp(() => Promise.resolve(connection.destroy()));
  connection.open();
  let received = 0;
  const read = () => {
    connection.on("data", (bytes: Buffer) => {
      received += bytes.length;
    });
  };
  return { client, connection, cuts, budget, read, connects: () => connects, received: () => received };
}

const CONNECT = generate(connectPacket());
const publish = (id: number, payload = "x") => generate(publishPacket("a", payload, 1, id));

describe("GuardedConnection", () => {
  it("lets CONNECT through alone until the broker is ready, then three publishes, then one for each that is settled", async () => {
    const { client, connection, read, connects, received, budget } = await pair();
    read();
    const size = publish(1).length;
    client.sendBytes(Buffer.concat([CONNECT, ...[1, 2, 3, 4, 5].map((id) => publish(id))]));
    await waitFor(() => received() === CONNECT.length, "CONNECT");
    expect([connects(), connection.pending]).toEqual([1, 0]);
    connection.ready();
    await waitFor(() => received() === CONNECT.length + 3 * size, "three");
    expect([connection.pending, budget.used]).toEqual([3, 3 * size]);
    connection.settled();
    await waitFor(() => received() === CONNECT.length + 4 * size, "four");
    for (let n = 0; n < 9; n += 1) connection.settled();
    await waitFor(() => received() === CONNECT.length + 5 * size, "five");
    connection.destroy();
    await client.untilClosed();
    expect(budget.used).toBe(0);
  });

  it("holds back what is over its own bytes, or over everybody's, but never the only one", async () => {
    const { client, connection, read, received, budget } = await pair();
    read();
    budget.used = 20_000;
    const sent = Buffer.concat([CONNECT, publish(1, "y".repeat(700)), publish(2), publish(3)]);
    client.sendBytes(sent);
    await waitFor(() => received() > 0, "CONNECT");
    connection.ready();
    await waitFor(() => received() > 700, "the only one");
    expect(connection.pending).toBe(1);
    connection.settled();
    await waitFor(() => received() === sent.length - publish(3).length, "the next");
    expect(connection.pending).toBe(1);
    budget.used = 0;
    connection.settled();
    await waitFor(() => received() === sent.length, "all");
  });

  it("calls a client slow after the grace, lets waiting writers go on, and cuts it in the end", async () => {
    const { client, connection, cuts } = await pair();
    client.sendBytes(CONNECT);
    client.socket.pause();
    while (connection.write(Buffer.alloc(4096))) await new Promise(setImmediate);
    expect(connection.isSlow()).toBe(false);
    await once(connection, "drain");
    expect(connection.isSlow()).toBe(true);
    await once(connection, "close");
    expect(cuts).toEqual(["slow"]);
  });

  it("forgives a client that catches up, within the grace and after it", async () => {
    const { client, connection, cuts } = await pair({ slowTimeoutMs: 8000 });
    client.sendBytes(CONNECT);
    for (const graceful of [true, false]) {
      client.socket.pause();
      while (connection.write(Buffer.alloc(4096))) await new Promise(setImmediate);
      expect(connection.isSlow()).toBe(false);
      // The kernel may take more meanwhile, and the client would have caught up: it is kept behind until it is slow.
      const stillBehind = () => {
        while (!connection.writableNeedDrain) connection.write(Buffer.alloc(4096));
        return connection.isSlow();
      };
      if (!graceful) await waitFor(stillBehind, "slow");
      client.socket.removeAllListeners("data");
      client.socket.resume();
      await waitFor(() => !connection.writableNeedDrain, "drained");
      expect(connection.isSlow()).toBe(false);
    }
    expect(cuts).toEqual([]);
  });

  it("is slow at once when it is far behind", async () => {
    const { client, connection } = await pair({ graceMs: 8000 });
    client.sendBytes(CONNECT);
    client.socket.pause();
    while (connection.write(Buffer.alloc(4096))) await new Promise(setImmediate);
    for (let n = 0; n < 4; n += 1) connection.write(Buffer.alloc(4096));
    expect(connection.isSlow()).toBe(true);
  });
});
