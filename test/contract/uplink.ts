import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NotConnectedError } from "../../gateway/core/errors.ts";
import type { Outgoing, Uplink, Verdict } from "../../gateway/core/uplink.ts";

/** What an implementation gives the suite. */
export interface UplinkHarness {
  /** Not yet connected; the far side takes it and acknowledges. */
  readonly uplink: Uplink;
  /** Bodies that arrived, in order. */
  received(): readonly string[];
  /** From now on the far side acknowledges nothing. */
  holdAcks(): void;
  /** The far side cuts the connection. */
  cut(): void;
  /** An uplink whose far side is not there. */
  unreachable(): Uplink;
  /** An uplink whose far side takes the connection and never answers. */
  silent(): Uplink;
  dispose(): Promise<void>;
}

const live = () => new AbortController().signal;
const nobody = () => {};
const until = (expectation: () => void) => vi.waitFor(expectation, { timeout: 5000, interval: 4 });

export function message(text: string): Outgoing {
  return { topic: "plant/a", payload: Buffer.from(text), qos: 1, retain: false, properties: [["id", text]] };
}

/** The verdicts of one `send`, and how often each index got one. */
export function verdicts() {
  const got = new Map<number, Verdict[]>();
  const take = (index: number, verdict: Verdict) => {
    got.set(index, [...(got.get(index) ?? []), verdict]);
  };
  const kinds = () => [...got.entries()].sort(([a], [b]) => a - b).map(([, all]) => all.map((one) => one.kind).join());
  return { take, kinds };
}

/** What every uplink promises (`core/uplink.ts`): each method in its place, before connect, after close, and aborted. */
export function uplinkContract(name: string, factory: () => Promise<UplinkHarness>): void {
  describe(`${name} as an uplink`, () => {
    let harness: UplinkHarness;
    beforeEach(async () => {
      harness = await factory();
    });
    afterEach(async () => {
      await harness.uplink.close();
      await harness.dispose();
    });
    const ready = async (onLost: (error: Error) => void = nobody) => harness.uplink.connect(onLost, live());

    it("connects and names its limits", async () => {
      const limits = await ready();
      expect(limits.inFlight).toBeGreaterThan(0);
      expect(typeof limits.properties).toBe("boolean");
    });

    it("sends in order and gives each message one verdict", async () => {
      await ready();
      const { take, kinds } = verdicts();
      const bodies = Array.from({ length: 200 }, (_, i) => `m${i}`);
      await harness.uplink.send(bodies.map(message), take, live());
      await until(() => expect(kinds()).toEqual(bodies.map(() => "ack")));
      expect(harness.received()).toEqual(bodies);
    });

    it("takes an empty batch", async () => {
      await ready();
      const { take, kinds } = verdicts();
      await harness.uplink.send([], take, live());
      expect(kinds()).toEqual([]);
    });

    it("refuses to send before it is connected", async () => {
      const { take, kinds } = verdicts();
      await expect(harness.uplink.send([message("a"), message("b")], take, live())).rejects.toThrow(NotConnectedError);
      expect(kinds()).toEqual(["retry", "retry"]);
    });

    it("refuses to send and to connect after it was closed", async () => {
      await ready();
      await harness.uplink.close();
      const { take, kinds } = verdicts();
      await expect(harness.uplink.send([message("a")], take, live())).rejects.toThrow(NotConnectedError);
      expect(kinds()).toEqual(["retry"]);
      await expect(ready()).rejects.toThrow(NotConnectedError);
    });

    it("does not send when aborted before", async () => {
      await ready();
      const { take, kinds } = verdicts();
      const reason = new Error("no longer wanted");
      await expect(harness.uplink.send([message("a")], take, AbortSignal.abort(reason))).rejects.toBe(reason);
      expect(kinds()).toEqual(["retry"]);
      expect(harness.received()).toEqual([]);
    });

    it("does not connect when aborted before", async () => {
      const reason = new Error("no longer wanted");
      await expect(harness.uplink.connect(nobody, AbortSignal.abort(reason))).rejects.toBe(reason);
    });

    it("gives up connecting when aborted", async () => {
      const uplink = harness.silent();
      const abort = new AbortController();
      const reason = new Error("no longer wanted");
      const connecting = uplink.connect(nobody, abort.signal);
      setImmediate(() => abort.abort(reason));
      await expect(connecting).rejects.toBe(reason);
      await uplink.close();
    });

    it("gives up connecting when closed", async () => {
      const uplink = harness.silent();
      const connecting = uplink.connect(nobody, live());
      setImmediate(() => uplink.close());
      await expect(connecting).rejects.toThrow(NotConnectedError);
    });

    it("says that nobody is there", async () => {
      const uplink = harness.unreachable();
      await expect(uplink.connect(nobody, live())).rejects.toThrow(NotConnectedError);
      await uplink.close();
    });

    it("keeps the connection when the signal of connect aborts later", async () => {
      const abort = new AbortController();
      const lost = vi.fn();
      await harness.uplink.connect(lost, abort.signal);
      abort.abort();
      const { take, kinds } = verdicts();
      await harness.uplink.send([message("a")], take, live());
      await until(() => expect(kinds()).toEqual(["ack"]));
      expect(lost).not.toHaveBeenCalled();
    });

    it("gives what is in flight back before it tells the loss, once", async () => {
      const { take, kinds } = verdicts();
      const atLoss: string[][] = [];
      await ready(() => atLoss.push(kinds()));
      harness.holdAcks();
      await harness.uplink.send([message("a"), message("b")], take, live());
      await until(() => expect(harness.received()).toHaveLength(2));
      harness.cut();
      await until(() => expect(atLoss).toEqual([["retry", "retry"]]));
      await expect(harness.uplink.send([message("c")], take, live())).rejects.toThrow(NotConnectedError);
      await harness.uplink.close();
      expect(atLoss).toHaveLength(1);
    });

    it("gives what is in flight back when it is closed, and does not call that a loss", async () => {
      const lost = vi.fn();
      const { take, kinds } = verdicts();
      await ready(lost);
      harness.holdAcks();
      await harness.uplink.send([message("a")], take, live());
      await until(() => expect(harness.received()).toHaveLength(1));
      await harness.uplink.close();
      expect(kinds()).toEqual(["retry"]);
      expect(lost).not.toHaveBeenCalled();
    });

    it("never has more in flight than it said", async () => {
      const { inFlight } = await ready();
      harness.holdAcks();
      const { take, kinds } = verdicts();
      const abort = new AbortController();
      const batch = Array.from({ length: inFlight + 5 }, (_, i) => message(`m${i}`));
      const sending = harness.uplink.send(batch, take, abort.signal);
      await until(() => expect(harness.received()).toHaveLength(inFlight));
      abort.abort(new Error("enough"));
      await expect(sending).rejects.toThrow("enough");
      expect(kinds()).toHaveLength(5);
      expect(harness.received()).toHaveLength(inFlight);
    });

    it("closes before it was connected, and again", async () => {
      await harness.uplink.close();
      await harness.uplink.close();
    });
  });
}
