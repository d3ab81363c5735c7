import { afterEach, describe, expect, it } from "vitest";
import { noMetrics } from "../../gateway/core/metrics.ts";
import type { Uplink } from "../../gateway/core/uplink.ts";
import type { Work } from "../../gateway/core/work.ts";
import { valuesEncoder } from "../../gateway/northbound/encoders/values.ts";
import { Forwarder } from "../../gateway/northbound/forwarder.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";
import { ackAll, FakeUpstream } from "../fakes/fake-uplink.ts";
import { ListQueue } from "../fakes/list-queue.ts";
import { recordingLogger } from "./mqtt/harness.ts";
import { until } from "./until.ts";

const clock = { bootId: "boot-1", now: () => ({ wallMs: 1_732_300_000_000, monoMs: 1, clock: "synced" as const }) };
const running: Forwarder[] = [];
afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
});

/** @param wedge changes each new uplink. */
function setUp(wedge: (uplink: Uplink) => void = () => {}) {
  const queue = new ListQueue();
  const upstream = new FakeUpstream();
  const { log, lines } = recordingLogger();
  const forwarder = new Forwarder({
    name: "cloud",
    queue,
    gatewayId: "gw",
    uplink: () => {
      const uplink = upstream.make();
      wedge(uplink);
      return uplink;
    },
    encoder: valuesEncoder,
    topics: topicMapper("{topic}", "gw"),
    clock,
    log,
    metrics: noMetrics,
    options: {
      backoff: { baseMs: 1, capMs: 5, stableMs: 30_000 },
      ackTimeoutMs: 40,
      drainMs: 20,
      farewellMs: 20,
    },
  });
  running.push(forwarder);
  return { queue, upstream, forwarder, lines };
}

/** What of its own the forwarder is in, beyond what it may take; 0 where all is well. */
const over = (work: Work | undefined) => (work === undefined ? 0 : Math.max(0, work.forMs - work.mayTakeMs));

describe("a forwarder's work", () => {
  it("is none with nothing owed, and none with everything acknowledged", async () => {
    const { queue, upstream, forwarder } = setUp();
    upstream.auto = ackAll;
    expect(forwarder.work()).toBeUndefined();
    forwarder.start();
    queue.add("telemetry", ["1", "2", "3"]);
    await until(() => expect(queue.owed("telemetry")).toBe(0));
    await until(() => expect(forwarder.work()).toBeUndefined());
  });

  it("is none while the far side says nothing: the connection is given up instead, again and again", async () => {
    const { queue, upstream, forwarder } = setUp();
    queue.add("telemetry", ["1", "2", "3"]);
    forwarder.start();
    let most = 0;
    await until(() => {
      most = Math.max(most, over(forwarder.work()));
      expect(upstream.connections.length).toBeGreaterThan(3);
    });
    expect(most).toBe(0);
  });

  it("gives a wire up that takes no more although all is answered", async () => {
    let wedged = true;
    const { queue, upstream, forwarder } = setUp((uplink) => {
      const send = uplink.send.bind(uplink);
      uplink.send = async (...call) => {
        await send(...call);
        if (wedged) await new Promise<void>(() => {});
      };
    });
    upstream.auto = ackAll;
    forwarder.start();
    await until(() => expect(upstream.connections.length).toBeGreaterThan(1));
    expect(forwarder.status().lastError).toContain("nothing more was taken for");
    wedged = false;
    queue.add("telemetry", ["1", "2", "3"]);
    await until(() => expect(queue.owed("telemetry")).toBe(0));
  });

  it("is an uplink that does not close", async () => {
    let free: () => void = () => {};
    const wedge = new Promise<void>((resolve) => {
      free = resolve;
    });
    const { upstream, forwarder } = setUp((uplink) => {
      const close = uplink.close.bind(uplink);
      uplink.close = async () => {
        await wedge;
        await close();
      };
    });
    forwarder.start();
    await until(() =>
      expect(forwarder.work()).toMatchObject({ doing: "its uplink does not close", mayTakeMs: 10_000 }),
    );
    expect(upstream.connections).toHaveLength(1);
    free();
    await until(() => expect(upstream.connections.length).toBeGreaterThan(1));
  });
});
