import { describe, expect, it } from "vitest";
import { ConfigError } from "../../gateway/core/errors.ts";
import { topicMapper } from "../../gateway/northbound/topics.ts";

describe("topicMapper", () => {
  it.each([
    ["{topic}", "a/b", "a/b", "gw/status"],
    ["acme/{topic}", "a/b", "acme/a/b", "acme/gw/status"],
    ["acme/{gateway}/{topic}", "a/b", "acme/gw/a/b", "acme/gw/status"],
    ["{gateway}/{topic}/{topic}", "$&/b", "gw/$&/b/$&/b", "gw/status/status"],
  ])("%s", (template, topic, record, status) => {
    const topics = topicMapper(template, "gw");
    expect(topics.record(topic)).toBe(record);
    expect(topics.record(topic)).toBe(record);
    expect(topics.control("status")).toBe(status);
    expect(topics.control("gap")).toBe(status.replaceAll("status", "gap"));
  });

  it.each(["acme/all", "{gateway}", "{devise}/{topic}", "acme/#/{topic}", "+/{topic}"])("refuses %s", (template) => {
    expect(() => topicMapper(template, "gw")).toThrow(ConfigError);
  });
});
