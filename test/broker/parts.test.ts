import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Doorman } from "../../gateway/broker/doorman.ts";
import { FilterTree } from "../../gateway/broker/filter-tree.ts";
import { LogThrottle } from "../../gateway/broker/log-throttle.ts";
import { isLoopback } from "../../gateway/broker/loopback.ts";
import { MAX_UNRELEASED, OnceStore } from "../../gateway/broker/once-store.ts";
import { filterFault, TopicRules, topicRefusal } from "../../gateway/broker/topic-rules.ts";
import { topicMatches } from "../../gateway/core/selector.ts";
import { type LogLine, recordingLogger } from "./support.ts";

describe("FilterTree", () => {
  const level = fc.constantFrom("a", "b", "", "$x", "__proto__");
  const topic = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
  const filter = fc
    .tuple(fc.array(fc.oneof(level, fc.constant("+")), { minLength: 0, maxLength: 4 }), fc.boolean())
    .map(([levels, rest]) => (rest || levels.length === 0 ? [...levels, "#"] : levels).join("/"));

  it("finds what comparing every filter finds, also after some were removed", () => {
    fc.assert(
      fc.property(
        fc.array(filter, { maxLength: 12 }),
        fc.array(filter, { maxLength: 6 }),
        topic,
        (added, removed, t) => {
          const tree = new FilterTree();
          for (const f of added) tree.add(f, f);
          for (const f of removed) tree.remove(f, f);
          const expected = new Set(added.filter((f) => !removed.includes(f) && topicMatches(f, t)));
          expect(tree.match(t)).toEqual(expected);
        },
      ),
      { numRuns: 500, seed: 3 },
    );
  });

  it("names an owner once, however many of its filters match", () => {
    const tree = new FilterTree();
    for (const f of ["a/#", "a/+", "a/b"]) tree.add(f, "one");
    expect([...tree.match("a/b")]).toEqual(["one"]);
  });
});

describe("TopicRules", () => {
  const rules = new TopicRules([
    { topics: ["plant/alarm/#"], stream: "events" },
    { topics: ["plant/#", "lab/+"], stream: "telemetry" },
  ]);

  it("lets the first rule that matches decide", () => {
    expect(rules.judge("plant/alarm/1").stream).toBe("events");
    expect(rules.judge("plant/temperature").stream).toBe("telemetry");
    expect(rules.judge("lab/a").stream).toBe("telemetry");
    expect(rules.judge("lab/a/b")).toEqual({});
  });

  it.each(["$SYS/x", "$share", "a\0b", "a\uFFFD", "a/+/b", "#", "", Array(101).fill("a").join("/")])(
    "refuses to take a publish to %j",
    (topic) => {
      expect(topicRefusal(topic)).toBeTypeOf("string");
      expect(rules.judge(topic).stream).toBeUndefined();
    },
  );

  it("takes a hundred levels", () => {
    expect(topicRefusal(Array(100).fill("a").join("/"))).toBeUndefined();
    expect(filterFault(Array(101).fill("+").join("/"))).toBeTypeOf("string");
    expect(filterFault("a+")).toBeTypeOf("string");
    expect(filterFault("$SYS/#")).toBeUndefined();
  });

  it("forgets topics rather than grow", () => {
    for (let index = 0; index < 10_000; index += 1) rules.judge(`lab/${index}`);
    expect(rules.judge("lab/1").stream).toBe("telemetry");
  });
});

describe("OnceStore", () => {
  it("stores a message once until it is released, also while the first attempt runs", () => {
    const once = new OnceStore();
    const settle: ((error?: Error) => void)[] = [];
    const done: string[] = [];
    const store = (name: string) =>
      once.store(
        "c",
        7,
        (end) => settle.push(end),
        () => done.push(name),
      );
    store("first");
    store("second");
    expect(settle).toHaveLength(1);
    settle[0]?.();
    expect(done).toEqual(["first", "second"]);
    store("third");
    expect(done).toEqual(["first", "second", "third"]);
    once.release("c", 7);
    store("fourth");
    expect(settle).toHaveLength(2);
  });

  it("forgets an attempt that failed", () => {
    const once = new OnceStore();
    const errors: (Error | undefined)[] = [];
    once.store(
      "c",
      1,
      (end) => end(new Error("full")),
      (error) => errors.push(error),
    );
    once.store(
      "c",
      1,
      (end) => end(),
      (error) => errors.push(error),
    );
    expect(errors.map((error) => error?.message)).toEqual(["full", undefined]);
  });

  it("bounds what a client leaves open, and takes prototype names for names", () => {
    const once = new OnceStore();
    for (let id = 1; id <= MAX_UNRELEASED; id += 1) {
      expect(
        once.store(
          "__proto__",
          id,
          (end) => end(),
          () => {},
        ),
      ).toBe(true);
    }
    expect(
      once.store(
        "__proto__",
        5000,
        (end) => end(),
        () => {},
      ),
    ).toBe(false);
    expect(
      once.store(
        "constructor",
        5000,
        (end) => end(),
        () => {},
      ),
    ).toBe(true);
    once.forget("__proto__");
    expect(
      once.store(
        "__proto__",
        5000,
        (end) => end(),
        () => {},
      ),
    ).toBe(true);
  });
});

describe("Doorman", () => {
  it("counts in all and by address, and forgets who left", () => {
    const doorman = new Doorman(3, 2);
    expect([doorman.enter("a"), doorman.enter("a"), doorman.enter("a")]).toEqual([
      undefined,
      undefined,
      "address-connections",
    ]);
    expect([doorman.enter("b"), doorman.enter("c")]).toEqual([undefined, "connections"]);
    doorman.leave("a");
    expect(doorman.enter("c")).toBeUndefined();
    expect(doorman.connections).toBe(3);
  });
});

describe("isLoopback", () => {
  it.each(["127.0.0.1", "127.9.9.9", "::1", "0:0:0:0:0:0:0:1", "localhost", "LOCALHOST"])("%s is", (host) => {
    expect(isLoopback(host)).toBe(true);
  });
  it.each(["0.0.0.0", "::", "192.0.2.1", "10.0.0.1", "example.com", "127.0.0.1.example.com", ""])(
    "%s is not",
    (host) => {
      expect(isLoopback(host)).toBe(false);
    },
  );
});

describe("LogThrottle", () => {
  it("says a thing at once, then once a minute with what it left out", () => {
    const lines: LogLine[] = [];
    let now = 0;
    const throttle = new LogThrottle(recordingLogger(lines), () => now);
    for (let index = 0; index < 5; index += 1) throttle.warn("k", { a: 1 }, "it happened");
    throttle.warn("other", {}, "something else");
    now = 60_000;
    throttle.warn("k", { a: 1 }, "it happened");
    expect(lines.map((line) => [line.message, line.fields])).toEqual([
      ["it happened", { a: 1 }],
      ["something else", {}],
      ["it happened", { a: 1, suppressed: 4 }],
    ]);
  });
});
