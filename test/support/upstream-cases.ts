import type { Clock } from "../../gateway/core/clock.ts";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { Queue } from "../../gateway/core/queue.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import type { ForwarderOptions } from "../../gateway/northbound/options.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { mqttUplink, recordingLogger } from "../northbound/mqtt/harness.ts";
import { type Received, received } from "./received.ts";
import { type Script, type Session, StrictBroker } from "./strict-broker.ts";

/** Everything that a server of the field does wrong, one case each, over real sockets. */
export interface UpstreamCase {
  readonly name: string;
  /** The server while it misbehaves. */
  script(broker: () => StrictBroker): Script;
  readonly mqtt?: Record<string, unknown>;
  readonly options?: Partial<ForwarderOptions>;
  /** What the fault lasts for; then the server behaves. Absent: it never does, and all is delivered all the same. */
  readonly until?: (seen: Seen) => boolean;
  /** Records that the far side refuses for good: dead letters, told as gaps. */
  readonly refused?: number;
  /** What the status says must be cured, at some time. */
  readonly alarm?: RegExp;
  /** New records come in meanwhile, up to so many: what fails is only told from what fails with everything by others. */
  readonly trickle?: number;
  /** Slow by nature: only in the large suite. */
  readonly slow?: boolean;
  readonly only?: 4;
}

export interface Seen {
  readonly broker: StrictBroker;
  readonly forwarder: Forwarder;
}

export interface Outcome {
  readonly sent: number;
  readonly lost: number;
  readonly duplicates: number;
  /** The greatest number that the promise allows: a window for each connection. */
  readonly allowed: number;
  readonly exceeded: number;
  readonly rejected: number;
  readonly resumed: boolean;
  readonly connections: number;
  readonly alarmed: boolean;
  readonly received: Received;
  readonly violations: readonly string[];
}

export const WINDOW = 64;
const POISON = /^\{"n":(20|45|77)\b/;
const textOf = (payload: string | Buffer) => payload.toString();
const isRecord = (topic: string) => !/\/(status|gap|clock)$/.test(topic);
const clock: Clock = {
  bootId: "boot-1",
  now: () => ({ wallMs: Date.now(), monoMs: performance.now(), clock: "synced" }),
};

/** The first so many times, each time anew for its own counter. */
function times(count: number, then: () => void): () => boolean {
  let left = count;
  return () => {
    if (left-- <= 0) return false;
    then();
    return true;
  };
}
const nothing = () => {};

const codeCase = (code: number, extra: Partial<UpstreamCase> = {}): UpstreamCase => ({
  name: `PUBACK 0x${code.toString(16)}`,
  script: () => {
    const refuse = times(30, nothing);
    return { puback: ({ topic }) => ({ ack: true, code: isRecord(topic) && refuse() ? code : 0 }) };
  },
  ...extra,
});
const connackCase = (code: number, only?: 4): UpstreamCase => ({
  name: `CONNACK ${only === 4 ? `${code} (3.1.1)` : `0x${code.toString(16)}`}`,
  script: () => ({ connack: code }),
  until: ({ broker }) => broker.sessions.length >= 3,
  ...(only === undefined ? {} : { mqtt: { version: 4 }, only }),
});
const windowCase = (receiveMaximum: number): UpstreamCase => ({
  name: `Receive Maximum ${receiveMaximum}`,
  script: () => ({ properties: { receiveMaximum }, puback: () => ({ ack: true, afterMs: 1 }) }),
});
const disconnectCase = (code: number, extra: Partial<UpstreamCase> = {}): UpstreamCase => ({
  name: `DISCONNECT 0x${code.toString(16)}`,
  script: (broker) => ({
    puback: ({ topic }, session) => {
      if (!isRecord(topic) || session.publishes.length < 30) return { ack: true };
      session.kick(code);
      return { ack: false };
    },
    connected: () => void broker,
  }),
  until: ({ broker }) => broker.sessions.length >= 3,
  ...extra,
});

export const UPSTREAM_CASES: readonly UpstreamCase[] = [
  { name: "well-behaved", script: () => ({}) },
  {
    name: "never PUBACKs",
    script: () => ({ puback: () => ({ ack: false }) }),
    mqtt: { ackTimeout: "100ms" },
    until: ({ broker }) => broker.sessions.length >= 6,
  },
  {
    name: "PUBACKs all but records",
    script: () => ({ puback: ({ topic }) => ({ ack: !isRecord(topic) }) }),
    mqtt: { ackTimeout: "100ms" },
    until: ({ broker }) => broker.sessions.length >= 6,
  },
  {
    name: "loses every 50th PUBACK",
    script: () => {
      let count = 0;
      return { puback: () => ({ ack: ++count % 50 !== 0 }) };
    },
    mqtt: { ackTimeout: "150ms" },
  },
  {
    name: "duplicates each PUBACK",
    script: () => ({
      puback: ({ messageId = 0 }, session) => {
        session.puback(messageId);
        return { ack: true };
      },
    }),
  },
  {
    name: "PUBACKs what was never sent",
    script: () => ({
      puback: ({ messageId = 0 }, session) => {
        session.puback((messageId + 40_000) % 65_535);
        return { ack: true };
      },
    }),
  },
  {
    name: "reorders PUBACKs",
    script: () => ({ puback: ({ messageId = 0 }) => ({ ack: true, afterMs: (messageId * 7) % 11 }) }),
  },
  {
    name: "cuts before each 40th PUBACK",
    script: () => {
      let count = 0;
      return {
        puback: (_, session) => {
          if (++count % 40 !== 0) return { ack: true };
          session.socket.destroy();
          return { ack: false };
        },
      };
    },
  },
  ...[0x80, 0x83, 0x97, 0x91].map((code) => codeCase(code)),
  codeCase(0x10),
  codeCase(0x87, {
    script: () => {
      const refuse = times(3, nothing);
      return { puback: ({ topic }) => ({ ack: true, code: isRecord(topic) && refuse() ? 0x87 : 0 }) };
    },
    alarm: /0x87/,
    // Its pause is five minutes: a new connection asks again at once.
    until: ({ broker, forwarder }) => {
      if (forwarder.status().retrying < 3) return false;
      broker.session.socket.destroy();
      return true;
    },
  }),
  ...[0x90, 0x99].map((code) =>
    codeCase(code, {
      script: () => ({
        puback: ({ payload }) => ({ ack: true, code: POISON.test(textOf(payload)) ? code : 0 }),
      }),
      refused: 3,
    }),
  ),
  ...[0x80, 0x81, 0x82, 0x83, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9c, 0x9d, 0x9f].map(
    (code) => connackCase(code),
  ),
  ...[1, 2, 3, 4, 5].map((code) => connackCase(code, 4)),
  ...[1, 2, 10].map(windowCase),
  {
    name: "Maximum Packet Size 300",
    script: () => ({ properties: { maximumPacketSize: 300 } }),
    // Those whose body is padded, see `bodies`.
    refused: 4,
  },
  ...[0x80, 0x89, 0x8b, 0x93, 0x95, 0x96, 0x97].map((code) => disconnectCase(code)),
  {
    name: "closes after CONNACK",
    script: () => ({ connected: (session) => session.socket.destroy() }),
    until: ({ broker }) => broker.sessions.length >= 10,
    alarm: /client id used twice/,
  },
  {
    name: "closes over one record, again and again",
    script: () => ({
      puback: ({ payload }, session) => {
        if (!POISON.test(textOf(payload))) return { ack: true };
        session.socket.destroy();
        return { ack: false };
      },
    }),
    refused: 3,
  },
  {
    name: "never PUBACKs one record",
    script: () => ({ puback: ({ payload }) => ({ ack: !POISON.test(textOf(payload)) }) }),
    mqtt: { ackTimeout: "100ms" },
    refused: 3,
    trickle: 500,
  },
  {
    name: "closes over the status",
    script: () => ({
      puback: ({ topic }, session) => {
        if (!topic.endsWith("/status")) return { ack: true };
        session.socket.destroy();
        return { ack: false };
      },
    }),
  },
  {
    name: "takes the client id over (0x8e)",
    script: () => ({ connected: (session) => session.kick(0x8e) }),
    until: ({ broker }) => broker.sessions.length >= 2,
    alarm: /another client uses the client id/,
  },
  {
    name: "takes the client id over, without a word",
    script: () => ({ connected: (session) => void setTimeout(() => session.socket.end(), 5) }),
    mqtt: { version: 4 },
    only: 4,
    until: ({ broker }) => broker.sessions.length >= 5,
    alarm: /client id used twice/,
  },
  {
    name: "half-open",
    script: () => ({ deaf: true, puback: () => ({ ack: false }) }),
    mqtt: { keepalive: "1s" },
    until: ({ broker }) => broker.sessions.length >= 2,
    slow: true,
  },
  {
    name: "stops reading",
    script: () => ({ connected: (session: Session) => void session.socket.pause() }),
    mqtt: { ackTimeout: "200ms" },
    until: ({ broker }) => broker.sessions.length >= 2,
  },
];

/** What is sent: most records are small, every 50th has 600 bytes. */
export function bodies(count: number): string[] {
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify(i % 50 === 49 ? { n: i, pad: "x".repeat(600) } : { n: i }),
  );
}

/** Runs one case; the queue holds `count` of `bodies` for the uplink `cloud` and says what is owed. */
export async function runCase(
  one: UpstreamCase,
  store: { readonly queue: Queue; owed(): number; rejected(): readonly number[]; add(bodies: readonly string[]): void },
  count: number,
  patienceMs: number,
): Promise<Outcome> {
  const broker = new StrictBroker();
  broker.script = one.script(() => broker);
  if (one.only !== undefined) broker.script.only = one.only;
  await broker.listen();
  const { log } = recordingLogger();
  const forwarder = new Forwarder({
    name: "cloud",
    queue: store.queue,
    gatewayId: "gw",
    uplink: () => mqttUplink({ url: broker.url, inFlight: WINDOW, ...one.mqtt }, { log }),
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "gw"),
    clock,
    log,
    metrics: noMetrics,
    options: {
      backoff: { baseMs: 2, capMs: 20, stableMs: 30_000 },
      alarmBackoff: { baseMs: 5, capMs: 20, stableMs: 30_000 },
      drainMs: 50,
      farewellMs: 50,
      retryBaseMs: 1,
      retryCapMs: 20,
      busyCapMs: 20,
      ...one.options,
    },
  });
  let alarmed = false;
  let fed = 0;
  let fedMs = 0;
  const feed = () => {
    if (fed >= (one.trickle ?? 0) || performance.now() - fedMs < 10) return;
    fedMs = performance.now();
    store.add([JSON.stringify({ n: count + fed++ })]);
  };
  const look = () => {
    if (one.alarm?.test(forwarder.status().alarm ?? "")) alarmed = true;
  };
  const wait = async (done: () => boolean): Promise<boolean> => {
    const deadline = performance.now() + patienceMs;
    while (!done()) {
      look();
      feed();
      if (performance.now() > deadline) return false;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    look();
    return true;
  };
  try {
    forwarder.start();
    const { until } = one;
    if (until !== undefined) {
      await wait(() => until({ broker, forwarder }));
      broker.script = { ...(one.only === undefined ? {} : { only: one.only }) };
    }
    const resumed = await wait(
      () => store.owed() === 0 && (fed === 0 || store.rejected().length >= (one.refused ?? 0)),
    );
    const got = received(broker.publishes);
    const rejected = new Set([...store.rejected(), ...got.rejected]);
    const arrived = new Set([...got.ids.keys()].map((id) => Number(id.split("/").at(-1))));
    const lost = Array.from({ length: count + fed }, (_, i) => i + 1).filter(
      (seq) => !arrived.has(seq) && !rejected.has(seq),
    );
    return {
      sent: broker.records.length,
      lost: lost.length,
      duplicates: got.duplicates,
      // Whatever was in flight at a loss, and what the server itself asked for again.
      allowed:
        WINDOW * Math.max(0, broker.sessions.filter(({ publishes }) => publishes.length > 0).length - 1) +
        broker.refusals,
      exceeded: broker.violations.length,
      rejected: rejected.size,
      resumed,
      connections: broker.sessions.length,
      alarmed: one.alarm === undefined || alarmed,
      received: got,
      violations: broker.violations,
    };
  } finally {
    await forwarder.stop();
    await broker.close();
  }
}

export function row(name: string, outcome: Outcome): string {
  const { sent, lost, duplicates, allowed, exceeded, rejected, resumed, connections } = outcome;
  const cells = [sent, lost, `${duplicates}/${allowed}`, exceeded, rejected, connections, resumed ? "yes" : "NO"];
  return `${name.padEnd(42)}${cells.map((cell) => String(cell).padStart(12)).join("")}`;
}
export const HEAD = `${"case".padEnd(42)}${["sent", "lost", "duplicates", "exceeded", "dead letters", "connections", "resumed"].map((cell) => cell.padStart(12)).join("")}`;
