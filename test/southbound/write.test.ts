import { describe, expect, it } from "vitest";
import type { TagWrite } from "../../gateway/core/driver.ts";
import type { FakeWire } from "../fakes/fake-driver.ts";
import { device, setup, tag } from "./setup.ts";

const target = tag("setpoint", 1000);
const one = (value: number): TagWrite[] => [{ tag: target, value }];
const forever = new AbortController().signal;
const whats = (wire: FakeWire) => wire.transactions.map(({ what }) => what);

/** A settled promise as a value, so that nothing is left unhandled while time passes. */
function outcome(done: Promise<unknown>): Promise<unknown> {
  return done.catch((error: unknown) => error);
}

describe("a write", () => {
  it("goes before the reads that wait", async () => {
    const { time, wire, link } = setup([
      device("a", [tag("x", 100)]),
      device("b", [tag("y", 100)]),
      device("c", [tag("z", 100)]),
    ]);
    wire.replyMs = 50;
    await link.start();
    await time.pass(1000);
    const before = wire.transactions.length;
    const done = link.write("b", one(7), forever);
    await time.pass(200);
    await expect(done).resolves.toEqual([{ tag: "setpoint", ok: true, after: 7 }]);
    // One call may be on the wire already.
    expect(whats(wire).slice(before, before + 2)).toContain("write setpoint=7");
    await link.stop();
  });

  it("never starves the reads, however many there are", async () => {
    const { time, wire, link, good } = setup([device("a", [tag("x", 100)])]);
    wire.replyMs = 10;
    await link.start();
    await time.pass(1000);
    const from = time.nowMs();
    const before = good("a").length;
    let stopped = false;
    const writer = async () => {
      while (!stopped) await link.write("a", one(1), forever);
    };
    const writers = Array.from({ length: 20 }, () => outcome(writer()));
    await time.pass(10_000);
    stopped = true;
    const during = wire.transactions.filter(({ startMs }) => startMs >= from);
    // 10 ms each: 1,000 calls fit; the reads want 100 of them.
    expect(during.length).toBeGreaterThan(990);
    expect(good("a").length - before).toBeGreaterThanOrEqual(95);
    await link.stop();
    await Promise.all(writers);
  });

  it("writes to one device go in the order they came", async () => {
    const { time, wire, link } = setup([device("a", [tag("x", 1000)])]);
    await link.start();
    await time.pass(100);
    const all = Promise.all([1, 2, 3, 4, 5, 6, 7].map((value) => link.write("a", one(value), forever)));
    await time.pass(500);
    await all;
    const values = whats(wire).filter((what) => what.startsWith("write"));
    expect(values).toEqual([1, 2, 3, 4, 5, 6, 7].map((value) => `write setpoint=${value}`));
    await link.stop();
  });

  it("that is not answered is uncertain, not failed, and counts against the device", async () => {
    const { time, wire, link } = setup([device("a", [tag("x", 100)]), device("b", [tag("y", 100)])]);
    await link.start();
    await time.pass(500);
    wire.devices.set("a", "silent");
    const done = outcome(link.write("a", one(1), forever));
    await time.pass(2000);
    expect(await done).toMatchObject({
      code: "MILLRACE_UNCERTAIN_WRITE",
      message: expect.stringContaining("device a"),
    });
    expect(link.status().devices[0]?.state).toBe("offline");
    await link.stop();
  });

  it("to a device that does not answer is refused at once, and not sent", async () => {
    const { time, wire, link } = setup([device("a", [tag("x", 100)])]);
    wire.devices.set("a", "silent");
    await link.start();
    await time.pass(3000);
    const error = await outcome(link.write("a", one(1), forever));
    expect(error).toMatchObject({ code: "MILLRACE_NOT_CONNECTED", message: expect.stringContaining("not sent") });
    expect(whats(wire).some((what) => what.startsWith("write"))).toBe(false);
    await link.stop();
  });

  it("that waits when the link is lost was not sent, and the one on the wire is uncertain", async () => {
    const { time, wire, link } = setup([device("a", [tag("x", 10_000)])]);
    await link.start();
    await time.pass(2000);
    wire.replyMs = 1000;
    const first = outcome(link.write("a", one(1), forever));
    const second = outcome(link.write("a", one(2), forever));
    await time.pass(10);
    wire.cut();
    await time.pass(100);
    expect(await first).toMatchObject({ code: "MILLRACE_UNCERTAIN_WRITE" });
    expect(await second).toMatchObject({ code: "MILLRACE_NOT_CONNECTED" });
    expect(await outcome(link.write("a", one(3), forever))).toMatchObject({ code: "MILLRACE_NOT_CONNECTED" });
    await link.stop();
  });

  it("can be taken back while it waits, and not once it is sent", async () => {
    const { time, wire, link } = setup([device("a", [tag("x", 10_000)])]);
    await link.start();
    await time.pass(2000);
    wire.replyMs = 100;
    const [sent, waiting] = [new AbortController(), new AbortController()];
    const first = outcome(link.write("a", one(1), sent.signal));
    const second = outcome(link.write("a", one(2), waiting.signal));
    await time.pass(10);
    sent.abort(new Error("expired"));
    waiting.abort(new Error("expired"));
    await time.pass(500);
    expect(await first).toEqual([{ tag: "setpoint", ok: true, after: 1 }]);
    expect(await second).toMatchObject({ message: "expired" });
    expect(whats(wire).filter((what) => what.startsWith("write"))).toEqual(["write setpoint=1"]);
    await link.stop();
  });

  it("beyond a hundred that wait is refused", async () => {
    const { time, wire, link } = setup([device("a", [tag("x", 10_000)])]);
    await link.start();
    await time.pass(2000);
    wire.replyMs = 1000;
    const all = Array.from({ length: 102 }, (_, n) => outcome(link.write("a", one(n), forever)));
    expect(await all[101]).toMatchObject({ code: "MILLRACE_REJECTED" });
    await link.stop();
    const outcomes = await Promise.all(all);
    expect(outcomes.every((error) => error instanceof Error)).toBe(true);
  });

  it("to a device nobody knows, or on a stopped link, says so", async () => {
    const { time, link } = setup([device("a", [tag("x", 100)])]);
    expect(await outcome(link.write("a", one(1), forever))).toMatchObject({
      message: expect.stringContaining("stopped"),
    });
    await link.start();
    await time.pass(500);
    expect(await outcome(link.write("zz", one(1), forever))).toMatchObject({ code: "MILLRACE_REJECTED" });
    await link.stop();
  });
});
