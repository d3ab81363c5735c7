import { messageOf } from "../core/errors.ts";
import { checkTopic, checkTopicFilter } from "../core/selector.ts";
import type { Faults, Path } from "./faults.ts";
import { hint } from "./suggest.ts";

/** The broker refuses deeper topics. */
const MAX_LEVELS = 100;
const PLACEHOLDER = /\{([^{}]*)\}/g;

/**
 * Replaces `{name}` by its value.
 * @returns undefined after a fault: unknown placeholder, stray brace, or not a topic that can be published to.
 */
export function resolveTopic(
  template: string,
  values: Readonly<Record<string, string>>,
  path: Path,
  faults: Faults,
): string | undefined {
  const names = Object.keys(values);
  for (const [whole, name] of template.matchAll(PLACEHOLDER)) {
    if (names.includes(name ?? "")) continue;
    const braced = names.map((known) => `{${known}}`);
    faults.add(path, `unknown placeholder "${whole}"${hint(whole, braced, "use")}`);
    return undefined;
  }
  const topic = template.replaceAll(PLACEHOLDER, (_whole, name: string) => values[name] ?? "");
  const fault = topicFault(topic);
  if (fault !== undefined) faults.add(path, fault);
  return fault === undefined ? topic : undefined;
}

function topicFault(topic: string): string | undefined {
  if (/[{}]/.test(topic)) return 'a "{" or "}" is left over; placeholders are written {name}';
  if (topic.startsWith("$")) return 'topics that begin with "$" belong to the broker; begin with something else';
  if (topic.split("/").length > MAX_LEVELS) return `a topic has at most ${MAX_LEVELS} levels`;
  try {
    checkTopic(topic);
    return undefined;
  } catch (error) {
    return `${messageOf(error)}; use only names and "/"`;
  }
}

/** Adds a fault unless `filter` is one that local clients' topics, or records, can match. */
export function checkFilter(filter: string, path: Path, faults: Faults): void {
  if (filter.startsWith("$share/")) {
    faults.add(path, "shared subscriptions have no meaning here; write the filter behind $share/<group>/ alone");
    return;
  }
  if (filter.startsWith("$")) {
    faults.add(path, 'no message has a topic that begins with "$"; begin with something else');
    return;
  }
  try {
    checkTopicFilter(filter);
  } catch (error) {
    faults.add(path, `${messageOf(error)}; write a filter such as plant/+/temperature or plant/#`);
  }
}

/** Whether some topic could match both filters (or a filter and a topic). */
export function overlap(a: string, b: string): boolean {
  const left = a.split("/");
  const right = b.split("/");
  for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
    if (left[i] === "#" || right[i] === "#") return true;
    if (left[i] === undefined || right[i] === undefined) return false;
    if (left[i] !== right[i] && left[i] !== "+" && right[i] !== "+") return false;
  }
  return true;
}
