import { describe, expect, it } from "vitest";
import { Poison, STATUS_KEY } from "../../gateway/northbound/poison.ts";

/** One connection: others acknowledged, then lost with these in flight. */
function connection(poison: Poison, acked: number, inFlight: readonly string[]): void {
  poison.begin();
  for (let i = 0; i < acked; i++) poison.answered([`other/${i}`]);
  poison.lost(inFlight.map((key) => [key]));
}

describe("a record that ends connections", () => {
  it("is found when it was alone in flight at three losses, with others acknowledged before each", () => {
    const poison = new Poison();
    connection(poison, 5, ["a", "b", "bad"]);
    expect(poison.window(64)).toBe(64);
    connection(poison, 0, ["a", "b", "bad"]);
    expect(poison.window(64)).toBe(1);
    for (let i = 0; i < 3; i++) {
      expect(poison.isPoison("bad")).toBe(false);
      connection(poison, 2, ["bad"]);
    }
    expect(poison.isPoison("bad")).toBe(true);
  });

  it("is none where nothing else is acknowledged either", () => {
    const poison = new Poison();
    for (let i = 0; i < 50; i++) connection(poison, 0, ["first"]);
    expect(poison.isPoison("first")).toBe(false);
  });

  it("is none once it was answered", () => {
    const poison = new Poison();
    for (let i = 0; i < 2; i++) connection(poison, 2, ["slow"]);
    poison.answered(["slow"]);
    expect(poison.isSuspect("slow")).toBe(false);
    connection(poison, 2, ["slow"]);
    expect(poison.isPoison("slow")).toBe(false);
  });

  it("is first on one connection, and behind others on the next", () => {
    const poison = new Poison();
    connection(poison, 2, ["bad"]);
    const turns = Array.from({ length: 4 }, () => {
      poison.begin();
      return poison.mayTry;
    });
    expect(turns).toEqual([false, true, false, true]);
  });

  it("lets the window open again after a row of acknowledgements", () => {
    const poison = new Poison();
    connection(poison, 0, ["a"]);
    connection(poison, 0, ["b"]);
    poison.begin();
    for (let i = 0; i < 16; i++) poison.answered([`c/${i}`]);
    expect(poison.window(64)).toBe(64);
  });

  it("may be the status: that is left out", () => {
    const poison = new Poison();
    for (let i = 0; i < 3; i++) connection(poison, 0, [STATUS_KEY]);
    expect(poison.statusMuted).toBe(true);
  });
});
