import { Buffer } from "node:buffer";
import { ConfigError } from "../core/errors.ts";
import type { TopicLimits, TopicRule } from "../core/options/topic-map.ts";
import { checkTopic, topicMatches } from "../core/selector.ts";
import { asLevel, type TopicParts, TopicTemplate } from "./topic-template.ts";

/** Whose samples a topic is for. */
export interface Origin {
  readonly link: string;
  readonly device: string;
  readonly group: string;
  /** With a message per tag. */
  readonly tag?: string;
}

/** Where an uplink publishes. */
export interface TopicMapper {
  /**
   * Topic upstream of a record with this local topic; `origin` is that of samples. With a tag and a template that has
   * no `{tag}`, the tag is the last level.
   * @throws RangeError when the far side takes no topic so long.
   */
  record(topic: string, origin?: Origin): string;
  /** Topic upstream of the gateway's own messages. */
  control(kind: "status" | "gap" | "clock"): string;
}

export interface TopicSettings {
  readonly map?: readonly TopicRule[];
  readonly limits?: TopicLimits;
}

const NO_LIMITS: TopicLimits = { levels: 100, bytes: 65_535, charset: "utf8" };
/** Beyond this many distinct topics none is remembered. */
const CACHE = 4096;

/** One way from local topics to topics upstream. */
export interface Route {
  /** Undefined for `topic`, which takes every topic. */
  readonly rule: TopicRule | undefined;
  readonly template: TopicTemplate;
  takes(topic: string): boolean;
}

/** The routes in the order they are tried; the last one takes every topic. @throws RangeError naming a fault. */
export function routesOf(template: string, map: readonly TopicRule[]): readonly Route[] {
  const rules = map.map((rule) => ({
    rule,
    template: new TopicTemplate(rule.to, wildcardsIn(rule.from)),
    takes: (topic: string) => topicMatches(rule.from, topic),
  }));
  return [...rules, { rule: undefined, template: new TopicTemplate(template), takes: () => true }];
}

export function wildcardsIn(filter: string): number {
  return filter.split("/").filter((level) => level === "+" || level === "#").length;
}

/** The topic by the first route that takes it, before the far side's limits. */
export function routed(routes: readonly Route[], gateway: string, topic: string, origin?: Origin): string {
  const { rule, template } = routes.find((one) => one.takes(topic)) ?? lastOf(routes);
  const wildcards = rule === undefined ? [] : wildcardsOf(rule.from, topic);
  const parts: TopicParts = { gateway, topic, wildcards, ...origin };
  let made = template.fill(parts);
  // A template made of device names says nothing of which captured message it is.
  if (origin === undefined && template.hasDevice && !template.hasTopic && !template.hasWildcard) {
    made = `${made}${made === "" ? "" : "/"}${topic}`;
  }
  if (made === "") made = topic;
  if (origin?.tag !== undefined && !template.hasTag) made += `/${asLevel(origin.tag)}`;
  return made;
}

/**
 * @param template the topic upstream, with placeholders (`TopicTemplate`).
 * @throws ConfigError when a placeholder is unknown, the result cannot be published to, or all records would share it.
 */
export function topicMapper(template: string, gatewayId: string, settings: TopicSettings = {}): TopicMapper {
  const limits = settings.limits ?? NO_LIMITS;
  const routes = checked(template, () => routesOf(template, settings.map ?? []));
  const main = lastOf(routes).template;
  if (!main.hasTopic && !main.hasDevice) {
    throw new ConfigError(`topic "${template}" must contain {topic}, or all records would share one topic`);
  }
  checked(template, () => checkTopic(main.fillOwn(gatewayId, "x")));
  const known = new Map<string, string>();
  return {
    record(topic, origin) {
      const key = origin === undefined ? topic : keyOf(topic, origin);
      const mapped = known.get(key);
      if (mapped !== undefined) return mapped;
      if (known.size >= CACHE) known.clear();
      const made = within(routed(routes, gatewayId, topic, origin), limits);
      known.set(key, made);
      return made;
    },
    control(kind) {
      const topic = `${gatewayId}/${kind}`;
      const rule = settings.map?.find(({ from }) => from === topic);
      if (rule !== undefined) return new TopicTemplate(rule.to).fill({ gateway: gatewayId, topic });
      return main.fillOwn(gatewayId, main.hasGateway ? kind : topic);
    },
  };
}

/** What the far side takes of it: surplus levels are joined with `.`. */
function within(topic: string, { levels, bytes, charset }: TopicLimits): string {
  let made = charset === "ascii" ? topic.replaceAll(/[^\x20-\x7e]/gu, "_") : topic;
  const parts = made.split("/");
  if (parts.length > levels) made = [...parts.slice(0, levels - 1), parts.slice(levels - 1).join(".")].join("/");
  const size = Buffer.byteLength(made);
  if (size > bytes) throw new RangeError(`a topic of ${size} bytes, and the far side takes ${bytes}`);
  return made;
}

function wildcardsOf(filter: string, topic: string): (string | undefined)[] {
  const have = topic.split("/");
  return filter.split("/").flatMap((level, index) => {
    // `a/#` takes `a` too: then it stands for no level at all.
    if (level === "#") return [index < have.length ? have.slice(index).join("/") : undefined];
    return level === "+" ? [have[index] ?? ""] : [];
  });
}

function lastOf(routes: readonly Route[]): Route {
  const last = routes.at(-1);
  if (last === undefined) throw new RangeError("no route");
  return last;
}

function keyOf(topic: string, { link, device, group, tag }: Origin): string {
  return `${topic}\0${link}\0${device}\0${group}\0${tag ?? ""}`;
}

function checked<T>(template: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new ConfigError(`topic "${template}" cannot be published to`, { cause: error });
  }
}
