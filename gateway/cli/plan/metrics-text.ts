/** Samples of Prometheus' text format: name, labels, value. */
export type Counters = readonly {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}[];

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** What is no sample is left out. */
export function parseMetrics(text: string): Counters {
  return text.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = LINE.exec(line) ?? [];
    if (name === undefined || line.startsWith("#")) return [];
    const pairs = [...labels.matchAll(LABEL)].map(([, key = "", text_ = ""]) => [key, unescaped(text_)] as const);
    return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
  });
}

/** The sum over all that have these labels. */
export function sumOf(counters: Counters, name: string, labels: Readonly<Record<string, string>> = {}): number {
  return counters.reduce((sum, counter) => {
    const fits = counter.name === name && Object.entries(labels).every(([key, value]) => counter.labels[key] === value);
    return fits ? sum + counter.value : sum;
  }, 0);
}

function unescaped(text: string): string {
  return text.replace(/\\(.)/g, (_, char: string) => (char === "n" ? "\n" : char));
}
