/**
 * MQTT topic filters (MQTT 4.7): `+` is one level, `#` is the rest and only at the end. A filter that begins with a
 * wildcard does not match a topic that begins with `$` [MQTT-4.7.2-1].
 */
export interface Selector {
  /** Canonical text of the selection; two selectors with the same text select the same topics. */
  readonly text: string;
  matches(topic: string): boolean;
}

/** What brokers keep for themselves. */
const RESERVED = ["$SYS", "$share", "$queue", "$sparkplug"];

/** Whether no client may publish to `topic`, or to any topic of such a filter. */
export function isReservedTopic(topic: string): boolean {
  return RESERVED.includes(topic.split("/", 1)[0] ?? "");
}

/** @throws RangeError naming the fault, when `filter` is not a valid topic filter. */
export function checkTopicFilter(filter: string): void {
  if (filter.length === 0) throw new RangeError("a topic filter must not be empty");
  if (Buffer.byteLength(filter) > 65_535) throw new RangeError("a topic filter has at most 65535 bytes");
  if (filter.includes("\0")) throw new RangeError("a topic filter must not contain U+0000");
  const levels = filter.split("/");
  for (const [index, level] of levels.entries()) {
    if (level.includes("#") && (level !== "#" || index !== levels.length - 1)) {
      throw new RangeError(`"#" must stand alone in the last level of "${filter}"`);
    }
    if (level.includes("+") && level !== "+") {
      throw new RangeError(`"+" must stand alone in its level in "${filter}"`);
    }
  }
}

/** @throws RangeError naming the fault, when `topic` cannot be published to. */
export function checkTopic(topic: string): void {
  if (topic.length === 0) throw new RangeError("a topic must not be empty");
  if (Buffer.byteLength(topic) > 65_535) throw new RangeError("a topic has at most 65535 bytes");
  if (/[+#\0]/.test(topic)) throw new RangeError(`topic "${topic}" must not contain "+", "#" or U+0000`);
}

/** Whether `topic` matches one valid filter. */
export function topicMatches(filter: string, topic: string): boolean {
  if (topic.startsWith("$") && (filter.startsWith("+") || filter.startsWith("#"))) return false;
  const want = filter.split("/");
  const have = topic.split("/");
  for (const [index, level] of want.entries()) {
    if (level === "#") return true;
    if (index >= have.length) return false;
    if (level !== "+" && level !== have[index]) return false;
  }
  return want.length === have.length;
}

/** Whether every topic that `inner` matches is matched by `outer` too; both are valid filters. */
export function filterCovers(outer: string, inner: string): boolean {
  if (inner.startsWith("$") && (outer.startsWith("+") || outer.startsWith("#"))) return false;
  const wide = outer.split("/");
  const narrow = inner.split("/");
  for (const [index, level] of wide.entries()) {
    if (level === "#") return true;
    const other = narrow[index];
    if (other === undefined || other === "#" || (level !== "+" && level !== other)) return false;
  }
  return wide.length === narrow.length;
}

/** A selector that matches a topic when any of the filters does. An empty list matches nothing. */
export function selectorOf(filters: readonly string[]): Selector {
  for (const filter of filters) checkTopicFilter(filter);
  const text = [...new Set(filters)].sort().join(" ");
  return { text, matches: (topic) => filters.some((filter) => topicMatches(filter, topic)) };
}
