import { describe, expect, it } from "vitest";
import { acceptedAs, acceptFaults, acceptRules } from "../../gateway/northbound/accept.ts";
import { isOwn } from "../../gateway/northbound/own-messages.ts";

const entry = (from: string, to?: string) => ({ from, to, qos: 1 as const, retain: "strip" as const });
const localOf = (from: string, to: string | undefined, topic: string) =>
  acceptedAs(acceptRules([entry(from, to)], "gw-1"), topic)?.local;

describe("accept", () => {
  it("maps what the wildcards stood for, in their order, and the rest behind #", () => {
    expect(localOf("acme/{gateway}/cmd/#", "cmd/#", "acme/gw-1/cmd/press/write")).toBe("cmd/press/write");
    expect(localOf("site/+/line/+/plan", "plans/+/of/+", "site/7/line/2/plan")).toBe("plans/7/of/2");
    expect(localOf("acme/orders/#", undefined, "acme/orders/1")).toBe("acme/orders/1");
    expect(localOf("acme/one", "one", "acme/one")).toBe("one");
    // The filter takes its own parent.
    expect(localOf("acme/plans/#", "plans/#", "acme/plans")).toBe("plans");
    expect(localOf("acme/plans/#", "plans/#", "acme/other")).toBeUndefined();
  });

  it("takes the first entry that matches", () => {
    const rules = acceptRules([entry("a/b", "first"), entry("a/#", "rest/#")], "gw-1");
    expect(acceptedAs(rules, "a/b")?.local).toBe("first");
    expect(acceptedAs(rules, "a/c")?.local).toBe("rest/c");
  });

  it.each([
    [entry("a/#/b"), '"#" must stand alone'],
    [entry("$SYS/#"), 'topics that begin with "$"'],
    [entry("$share/g/a"), "shared subscription"],
    [entry("a/{gatway}/#"), 'unknown placeholder "{gatway}"; only {gateway} is known here'],
    [entry("a/+/#", "b/#"), "must have the wildcards + #"],
    [entry("a/b", "b/#"), "must have no wildcards"],
  ])("%j is refused", (option, message) => {
    expect(acceptFaults([option]).map((fault) => fault.message)).toEqual([expect.stringContaining(message)]);
  });

  it("refuses the same filter twice", () => {
    expect(acceptFaults([entry("a/#"), entry("a/#")])[0]?.path).toEqual(["accept", 1, "from"]);
  });
});

describe("what the gateway sent up itself", () => {
  const own = (text: string, properties: readonly (readonly [string, string])[] = []) =>
    isOwn({ payload: Buffer.from(text), properties }, "gw-1");

  it("is known by its record id, and what is not records by the name in it", () => {
    expect(own("anything", [["id", "gw-1/events/0a/7"]])).toBe(true);
    expect(own('{"_m":{"id":"gw-1/events/0a/7","prev":6},"text":"x"}')).toBe(true);
    expect(own('[{"_m":{"id":"gw-1/telemetry/0a/7"}}]')).toBe(true);
    expect(own('{"type":"status","state":"online","gateway":"gw-1"}')).toBe(true);
  });

  it("is not what another gateway sent, nor what only looks alike", () => {
    expect(own("x", [["id", "gw-10/events/0a/7"]])).toBe(false);
    expect(own('{"_m":{"id":"gw-10/events/0a/7"}}')).toBe(false);
    expect(own('{"type":"status","gateway":"gw-2"}')).toBe(false);
    expect(own('{"id":"gw-1/order","expires":1}')).toBe(false);
    expect(own("")).toBe(false);
  });
});
