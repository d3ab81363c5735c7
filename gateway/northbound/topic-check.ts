import { Buffer } from "node:buffer";
import { messageOf } from "../core/errors.ts";
import type { TopicLimits, TopicRule } from "../core/options/topic-map.ts";
import { checkTopic, checkTopicFilter } from "../core/selector.ts";
import { type TemplateFault, TopicTemplate, templateFault } from "./topic-template.ts";
import { type Origin, type Route, routed, routesOf, wildcardsIn } from "./topics.ts";

/** What an uplink's configuration says of topics. */
export interface TopicPlan {
  readonly topic: string;
  readonly map: readonly TopicRule[];
  readonly topicLimits: TopicLimits;
}

/** A fault at a path inside the uplink. */
export interface TopicFault extends TemplateFault {
  readonly path: readonly (string | number)[];
}

const SHARED = 'must contain {topic}, or all records share one topic; write for example "acme/{topic}"';

/** What is wrong whatever the devices are. @param perTag whether `{tag}` has a meaning. */
export function topicPlanFaults({ topic, map }: TopicPlan, gatewayId: string, perTag: boolean): TopicFault[] {
  const found: TopicFault[] = [];
  for (const [index, rule] of map.entries()) {
    const fault = ruleFault(rule, gatewayId, perTag);
    if (fault !== undefined) found.push({ ...fault, path: ["map", index, ...fault.path] });
  }
  const fault = madeFault(topic, 0, gatewayId, perTag);
  if (fault !== undefined) found.push({ ...fault, path: ["topic"] });
  else {
    const template = new TopicTemplate(topic);
    if (!template.hasTopic && !template.hasDevice) found.push({ path: ["topic"], message: SHARED });
  }
  return found;
}

/** A device, and its tags, whose topics the far side has to take. */
export interface TopicSource extends Omit<Origin, "tag"> {
  readonly topic: string;
  /** Empty where tags have no topics of their own. */
  readonly tags: readonly string[];
}

/** What the far side would not take of what devices send; the first of each route, and tags that share a topic. */
export function topicReachFaults(plan: TopicPlan, gatewayId: string, sources: readonly TopicSource[]): TopicFault[] {
  const routes = routesOf(plan.topic, plan.map);
  const found = new Map<string, TopicFault>();
  const add = (path: TopicFault["path"], message: string) => {
    const key = path.join();
    if (!found.has(key)) found.set(key, { path, message });
  };
  const seen = new Map<string, string>();
  for (const source of sources) {
    const path = pathOf(routes, source.topic);
    for (const tag of source.tags.length === 0 ? [undefined] : source.tags) {
      const { link, device, group } = source;
      const origin = tag === undefined ? { link, device, group } : { link, device, group, tag };
      const topic = routed(routes, gatewayId, source.topic, origin);
      const what = `device ${device}${tag === undefined ? "" : `, tag ${tag}`}`;
      const fault = limitFault(topic, plan.topicLimits);
      if (fault !== undefined) add(path, `${what} would be sent on "${shortened(topic)}": ${fault}`);
      if (tag === undefined) continue;
      const other = seen.get(topic);
      if (other === undefined) seen.set(topic, what);
      else if (other !== what)
        add(path, `${other} and ${what} would both be sent on "${topic}"; use {device} or {topic}`);
    }
  }
  return [...found.values()];
}

/** Filters of all that may be published upstream: of devices, and of captured messages by their filters. */
export function upstreamFilters(
  plan: TopicPlan,
  gatewayId: string,
  sources: readonly TopicSource[],
  captured: readonly string[],
): readonly string[] {
  const routes = routesOf(plan.topic, plan.map);
  const made = sources.map(
    ({ topic, link, device, group }) => `${routed(routes, gatewayId, topic, { link, device, group })}/#`,
  );
  const templates = [...plan.map.map(({ to }) => to), plan.topic];
  const wide = captured.flatMap((filter) => templates.map((template) => widened(template, gatewayId, filter)));
  return [...new Set([...made, ...wide])];
}

/** What a template can make of a topic that `filter` matches: exact where `{topic}` ends it, else all below what is fixed. */
function widened(template: string, gatewayId: string, filter: string): string {
  const levels = template.replaceAll("{gateway}", gatewayId).split("/");
  const open = levels.findIndex((level) => level.includes("{"));
  if (open < 0) return levels.join("/");
  const fixed = levels.slice(0, open);
  const rest = open === levels.length - 1 && levels[open] === "{topic}" ? filter : "#";
  return [...fixed, rest].join("/");
}

function ruleFault({ from, to }: TopicRule, gatewayId: string, perTag: boolean): TopicFault | undefined {
  try {
    checkTopicFilter(from);
  } catch (error) {
    return { path: ["from"], message: `${messageOf(error)}; write a filter such as plant/+/temperature or plant/#` };
  }
  const fault = madeFault(to, wildcardsIn(from), gatewayId, perTag);
  return fault === undefined ? undefined : { ...fault, path: ["to"] };
}

/** A topic that nobody can publish to, whatever the placeholders stand for. */
function madeFault(text: string, count: number, gateway: string, perTag: boolean): TemplateFault | undefined {
  const fault = templateFault(text, count);
  if (fault !== undefined) return fault;
  const template = new TopicTemplate(text, count);
  if (template.hasTag && !perTag) {
    return {
      message: "{tag} has a meaning only where each tag is sent by itself; use encoder: per-tag, or leave it out",
    };
  }
  const names = { link: "x", device: "x", group: "x", tag: "x" };
  const topic = template.fill({
    gateway,
    topic: "x",
    wildcards: Array.from({ length: count }, () => "x"),
    ...names,
  });
  if (topic.startsWith("$")) {
    return { message: 'topics that begin with "$" belong to the broker; begin with something else' };
  }
  if (/\p{Cc}|\p{Cs}/u.test(topic)) return { message: 'has characters that no topic may have; use only names and "/"' };
  try {
    if (topic !== "") checkTopic(topic);
    return undefined;
  } catch (error) {
    return { message: `${messageOf(error)}; use only names and "/"` };
  }
}

function limitFault(topic: string, { levels, bytes, charset }: TopicLimits): string | undefined {
  const depth = topic.split("/").length;
  const size = Buffer.byteLength(topic);
  if (depth > levels) return `${depth} levels, and topicLimits allows ${levels}; use fewer, for example {topic[-2..]}`;
  if (size > bytes) return `${size} bytes, and topicLimits allows ${bytes}; use shorter names, or {topic[-2..]}`;
  if (charset === "ascii" && /[^\x20-\x7e]/.test(topic)) return "only ASCII is allowed by topicLimits; use other names";
  return undefined;
}

function pathOf(routes: readonly Route[], topic: string): TopicFault["path"] {
  const index = routes.findIndex((route) => route.takes(topic));
  return index < 0 || index === routes.length - 1 ? ["topic"] : ["map", index, "to"];
}

function shortened(topic: string): string {
  return topic.length > 120 ? `${topic.slice(0, 119)}…` : topic;
}
