import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../gateway/core/errors.ts";
import { topicPlanFaults, topicReachFaults } from "../../gateway/northbound/topic-check.ts";
import { TopicTemplate } from "../../gateway/northbound/topic-template.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";

const origin = { link: "plc 1", device: "press/1", group: "1000ms" };
const parts = { gateway: "gw", topic: "plant/line-1/press", ...origin, tag: "temp+1" };
const captured = { gateway: "gw", topic: "plant/line-1/scan" };

describe("placeholders", () => {
  it.each([
    ["acme/{gateway}/{topic}", "acme/gw/plant/line-1/press", "acme/gw/plant/line-1/scan"],
    ["{topic[1]}/{topic[-1]}", "plant/press", "plant/scan"],
    ["{topic[2..]}", "line-1/press", "line-1/scan"],
    ["x/{topic[2..2]}/{topic[-2..]}", "x/line-1/line-1/press", "x/line-1/line-1/scan"],
    ["x/{topic[7]}/y", "x/y", "x/y"],
    ["{link}/{device}/{group}/{tag}", "plc 1/press_1/1000ms/temp_1", ""],
    ["a/dev-{device}/{topic[1]}", "a/dev-press_1/plant", "a/plant"],
    ["/{topic}", "/plant/line-1/press", "/plant/line-1/scan"],
    ["{topic}/{topic[1]}-x", "plant/line-1/press/plant-x", "plant/line-1/scan/plant-x"],
  ])("%s", (text, ofSamples, ofMessage) => {
    expect(new TopicTemplate(text).fill(parts)).toBe(ofSamples);
    expect(new TopicTemplate(text).fill(captured)).toBe(ofMessage);
  });

  it("names never make more levels than they have, nor wildcards", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (device, tag) => {
        const topic = new TopicTemplate("a/{device}/{tag}").fill({ ...parts, device, tag });
        expect(topic.split("/")).toHaveLength(3);
        expect(topic).not.toMatch(/[+#\0]/);
      }),
    );
  });
});

describe("the gateway's own messages", () => {
  it.each([
    ["{topic}", "gw/status"],
    ["acme/{gateway}/{topic}", "acme/gw/status"],
    ["acme/{topic[2..]}", "acme/gw/status"],
    ["acme/{topic[1]}/data/{topic[2]}", "acme/gw/status/data"],
    ["acme/{device}/{tag}", "acme/gw/status"],
    ["acme/{gateway}/{device}", "acme/gw/status"],
  ])("under %s are on %s", (template, expected) => {
    expect(topicMapper(template, "gw").control("status")).toBe(expected);
  });

  it("are mapped only where they are named", () => {
    const map = [
      { from: "gw/status", to: "things/{gateway}/state" },
      { from: "#", to: "all" },
    ];
    const topics = topicMapper("{topic}", "gw", { map });
    expect(topics.control("status")).toBe("things/gw/state");
    expect(topics.control("gap")).toBe("gw/gap");
  });
});

describe("rules", () => {
  const map = [
    { from: "plant/+/scan", to: "uns/{1}/data" },
    { from: "plant/#", to: "acme/{gateway}/{1}" },
    { from: "+/+/#", to: "{2}/{1}/{3}" },
    { from: "fixed", to: "devices/d1/messages/events" },
  ];
  const topics = topicMapper("rest/{topic}", "gw", { map });
  it.each([
    ["plant/line-1/scan", "uns/line-1/data"],
    ["plant/a/b/c", "acme/gw/a/b/c"],
    ["plant", "acme/gw"],
    ["x/y/z/z", "y/x/z/z"],
    ["fixed", "devices/d1/messages/events"],
    ["other", "rest/other"],
  ])("%s goes to %s", (from, to) => {
    expect(topics.record(from)).toBe(to);
  });

  it("say where a device goes, with its tag behind it where tags are sent alone", () => {
    const byDevice = topicMapper("{topic}", "gw", { map: [{ from: "a/#", to: "site/{device}/{tag}/value" }] });
    expect(byDevice.record("a/b", { ...origin, tag: "t" })).toBe("site/press_1/t/value");
    expect(byDevice.record("c", { ...origin, tag: "t" })).toBe("c/t");
    expect(byDevice.record("c", origin)).toBe("c");
  });

  it("a captured message never shares the topic of another for want of a device", () => {
    const byDevice = topicMapper("acme/{device}", "gw");
    expect(byDevice.record("plant/scan")).toBe("acme/plant/scan");
    expect(topicMapper("{device}", "gw").record("plant/scan")).toBe("plant/scan");
    expect(topicMapper("{topic[9]}", "gw").record("plant/scan")).toBe("plant/scan");
  });
});

describe("what the far side takes", () => {
  const limits = { levels: 3, bytes: 20, charset: "ascii" as const };
  const topics = topicMapper("{topic}", "gw", { limits });
  it("surplus levels are joined, other characters replaced, what is too long refused", () => {
    expect(topics.record("a/b/c/d/e")).toBe("a/b/c.d.e");
    expect(topics.record("ä/b")).toBe("_/b");
    expect(() => topics.record("a/very/long-topic-indeed")).toThrow("a topic of 24 bytes, and the far side takes 20");
  });

  it("is checked for devices before anything is sent, one fault for each way", () => {
    const plan = { topic: "x/{topic}", map: [{ from: "b", to: "b/{tag}" }], topicLimits: limits };
    const source = (topic: string, device: string) => ({ topic, device, link: "l", group: "g", tags: ["t"] });
    const sources = [source("a/b/c", "one"), source("a/b/d", "two"), source("b", "ünf")];
    expect(topicReachFaults(plan, "gw", sources).map(({ path }) => path)).toEqual([["topic"]]);
    expect(topicReachFaults({ ...plan, topic: "{tag}" }, "gw", sources)[0]?.message).toBe(
      'device one, tag t and device two, tag t would both be sent on "t"; use {device} or {topic}',
    );
    expect(topicReachFaults(plan, "gw", [])).toEqual([]);
  });

  it.each(["a/\u0001/{topic}", "$aws/{topic}", "a/+/{topic}", "acme", "{topic", "a/{1}/{topic}"])(
    "refuses %j",
    (topic) => {
      const plan = { topic, map: [], topicLimits: limits };
      expect(topicPlanFaults(plan, "gw", false)).toHaveLength(1);
    },
  );

  it("throws where a template came past the check", () => {
    expect(() => topicMapper("{topic}", "gw", { map: [{ from: "a", to: "{1}" }] })).toThrow(ConfigError);
  });
});
