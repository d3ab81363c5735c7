import { describe, expect, it } from "vitest";
import { GiveWay } from "../../gateway/broker/give-way.ts";

/** Appends of local clients that leave time to uplinks; time passes by the turn. */
function setUp() {
  const world = { settled: 0, ms: 0 };
  const giveWay = new GiveWay(
    () => world.settled,
    () => world.ms,
  );
  return { world, giveWay };
}
const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("giving way to uplinks", () => {
  it("goes on at once while nothing gets ahead", () => {
    const { giveWay } = setUp();
    let gone = 0;
    for (let n = 0; n < 3; n++) giveWay.after(100, () => gone++);
    expect(gone).toBe(3);
  });

  it("waits until somewhat more was acknowledged than was taken in", async () => {
    const { giveWay, world } = setUp();
    world.settled = 10;
    let gone = false;
    giveWay.after(100, () => {
      gone = true;
    });
    for (const settled of [10, 60, 134]) {
      world.settled = settled;
      await turn();
      expect(gone).toBe(false);
    }
    world.settled = 135;
    await turn();
    expect(gone).toBe(true);
  });

  it("waits a short time only, and seldom where uplinks wait for the network", async () => {
    const { giveWay, world } = setUp();
    let waits = 0;
    for (let n = 0; n < 1000; n++) {
      world.settled++;
      let gone = false;
      giveWay.after(100, () => {
        gone = true;
      });
      if (!gone) waits++;
      while (!gone) {
        world.ms += 4;
        await turn();
      }
    }
    expect(waits).toBeGreaterThan(1);
    expect(waits).toBeLessThan(12);
    // The network is back: waits are of use again.
    let useful = 0;
    for (let n = 0; n < 1000; n++) {
      world.settled++;
      let gone = false;
      giveWay.after(100, () => {
        gone = true;
      });
      if (gone) continue;
      useful++;
      world.settled += 125;
      await turn();
      expect(gone).toBe(true);
    }
    expect(useful).toBeGreaterThan(500);
  });

  it("does not go on after its end", async () => {
    const { giveWay, world } = setUp();
    world.settled = 1;
    let gone = false;
    giveWay.after(1, () => {
      gone = true;
    });
    giveWay.stop();
    world.settled = 100;
    await turn();
    await turn();
    expect(gone).toBe(false);
  });
});
