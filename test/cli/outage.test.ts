import { once } from "node:events";
import { connect } from "node:net";
import mqtt from "mqtt";
import { afterEach, describe, expect, it, vi } from "vitest";
import { DemoModel } from "../../gateway/cli/demo/model.ts";
import { Outage } from "../../gateway/cli/demo/outage.ts";
import { shownDevices } from "../../gateway/cli/demo/plant.ts";
import { Upstream } from "../../gateway/cli/demo/upstream.ts";
import { Receiver } from "../../gateway/cli/verify/receiver.ts";
import { silentLogger } from "../../gateway/core/log.ts";
import { enveloped } from "../verify/messages.ts";

const upstream = new Upstream(silentLogger);
afterEach(() => upstream.stop());

describe("Upstream", () => {
  it("cuts everybody off, refuses, and comes back on the same port with its sessions", async () => {
    await upstream.up();
    const { port } = upstream;
    const got: string[] = [];
    const states: boolean[] = [];
    const receiver = new Receiver({
      url: `mqtt://127.0.0.1:${port}`,
      topics: ["#"],
      clientId: "r",
      onMessage: (_topic, payload) => got.push(payload.toString()),
      onState: ({ connected }) => states.push(connected),
    });
    const stop = new AbortController();
    const receiving = receiver.run(stop.signal, 5_000);
    await vi.waitFor(() => expect(states).toEqual([true]), 5_000);
    await upstream.down();
    await vi.waitFor(() => expect(states).toEqual([true, false]), 5_000);
    const refused = connect(port, "127.0.0.1");
    await expect(once(refused, "connect")).rejects.toThrow("ECONNREFUSED");
    await upstream.up();
    expect(upstream.port).toBe(port);
    // What comes before the receiver is back waits in its session.
    const sender = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4 });
    await sender.publishAsync("a", "while away", { qos: 1 });
    await vi.waitFor(() => expect(got).toEqual(["while away"]), 5_000);
    await sender.endAsync();
    stop.abort();
    await receiving;
  });
});

describe("Outage", () => {
  it("tells the outage, the return, and when the backlog is through", async () => {
    await upstream.up();
    const told: string[] = [];
    const outage = new Outage({ upstream, lengthMs: 50, quietMs: 50, tell: (text) => told.push(text) });
    const model = new DemoModel(shownDevices(false));
    const at = { nowMs: 1, sinceStartMs: 1 };
    const take = (seq: number) => model.message("x", enveloped(seq, seq - 1).payload, {}, false, at);
    take(1);
    outage.start();
    await vi.waitFor(() => expect(upstream.isUp).toBe(false), { timeout: 5_000, interval: 5 });
    model.gateway = { backlog: 120, uplinkState: "waiting" };
    outage.watch(model);
    await vi.waitFor(() => expect(told).toHaveLength(2), 5_000);
    outage.watch(model);
    model.gateway = { backlog: 60, uplinkState: "connected" };
    take(2);
    outage.watch(model);
    expect(told).toHaveLength(2);
    model.gateway = { backlog: 0, uplinkState: "connected" };
    outage.watch(model);
    outage.watch(model);
    expect(told[0]).toBe("outage: the upstream is unreachable for 50 ms; the gateway keeps what comes");
    expect(told[2]).toMatch(/^outage over: 120 records waited on disk, all delivered .* after the return; missing 0$/);
    expect(told).toHaveLength(3);
    await outage.stop();
  });

  it("stops in the middle without a word", async () => {
    await upstream.up();
    const told: string[] = [];
    const outage = new Outage({ upstream, lengthMs: 60_000, quietMs: 0, tell: (text) => told.push(text) });
    outage.start();
    await vi.waitFor(() => expect(upstream.isUp).toBe(false), 5_000);
    await outage.stop();
    await outage.stop();
    expect(told).toHaveLength(1);
  });
});
