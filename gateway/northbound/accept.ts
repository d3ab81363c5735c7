import { messageOf } from "../core/errors.ts";
import type { AcceptRule } from "../core/options/accept.ts";
import { checkTopic, checkTopicFilter, topicMatches } from "../core/selector.ts";
import type { OptionFault } from "../core/uplink.ts";

/** An entry of `accept` as it is written. */
export interface AcceptOption {
  readonly from: string;
  readonly to?: string | undefined;
  readonly qos: 0 | 1;
  readonly retain: "strip" | "keep";
}

/** The entries with `{gateway}` replaced, and `to` where it is not given. */
export function acceptRules(options: readonly AcceptOption[], gatewayId: string): readonly AcceptRule[] {
  return options.map(({ from, to = from, qos, retain }) => ({
    from: from.replaceAll("{gateway}", gatewayId),
    to: to.replaceAll("{gateway}", gatewayId),
    qos,
    retain,
  }));
}

/** The first entry that takes `topic`, and the local topic it gets; undefined when none does. */
export function acceptedAs(
  rules: readonly AcceptRule[],
  topic: string,
): { readonly rule: AcceptRule; readonly local: string } | undefined {
  const rule = rules.find(({ from }) => topicMatches(from, topic));
  return rule === undefined ? undefined : { rule, local: mapped(rule, topic) };
}

/** What is wrong with the entries, whatever comes. */
export function acceptFaults(options: readonly AcceptOption[]): OptionFault[] {
  const found: OptionFault[] = [];
  const add = (index: number, key: string, message: string) => found.push({ path: ["accept", index, key], message });
  const seen = new Map<string, number>();
  for (const [index, { from, to }] of options.entries()) {
    const fault = filterFault(from);
    if (fault !== undefined) add(index, "from", fault);
    const localFault = to === undefined ? undefined : filterFault(to);
    if (localFault !== undefined) add(index, "to", localFault);
    if (to !== undefined && fault === undefined && localFault === undefined && wildcards(from) !== wildcards(to)) {
      const have = wildcards(from) === "" ? "no wildcards" : `the wildcards ${wildcards(from)}`;
      add(index, "to", `must have ${have}, as "from": each stands for what it stood for there`);
    }
    const first = seen.get(from);
    if (first !== undefined) add(index, "from", `"${from}" is entry ${first + 1} already; the first one counts`);
    else seen.set(from, index);
  }
  return found;
}

function filterFault(text: string): string | undefined {
  const filled = text.replaceAll("{gateway}", "x");
  const brace = /\{[^{}]*\}|[{}]/.exec(filled);
  if (brace) return `unknown placeholder "${brace[0]}"; only {gateway} is known here`;
  if (filled.startsWith("$share/"))
    return "a shared subscription would give some of the messages to others; write the filter alone";
  if (filled.startsWith("$")) return 'topics that begin with "$" belong to the broker; begin with something else';
  try {
    checkTopicFilter(filled);
    return undefined;
  } catch (error) {
    return `${messageOf(error)}; write a filter such as acme/{gateway}/cmd/#`;
  }
}

/** The wildcards of a filter in their order: `+ + #`. */
function wildcards(filter: string): string {
  return filter
    .split("/")
    .filter((level) => level === "+" || level === "#")
    .join(" ");
}

/** `topic` matches `from`; what its wildcards stood for goes to those of `to`. */
function mapped({ from, to }: AcceptRule, topic: string): string {
  const have = topic.split("/");
  const stood: string[][] = [];
  for (const [index, level] of from.split("/").entries()) {
    if (level === "+") stood.push([have[index] ?? ""]);
    else if (level === "#") stood.push(have.slice(index));
  }
  let next = 0;
  return to
    .split("/")
    .flatMap((level) => (level === "+" || level === "#" ? (stood[next++] ?? []) : [level]))
    .join("/");
}

/** Why nobody may publish to a local topic that an entry made; undefined when somebody may. */
export function localTopicFault(topic: string): string | undefined {
  if (topic.startsWith("$")) return 'a local topic may not begin with "$"';
  try {
    checkTopic(topic);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
