import type { Candidate } from "./tools.ts";

/** The order that a type has without one. */
const DEFAULT_ORDERS = ["AB", "ABCD", "ABCDEFGH"];

/** Whether a candidate is what was expected: within the digits, or nearly. */
export function fits({ fit, bits }: Candidate, near = 0.02): boolean {
  return fit === undefined ? bits < 90 : fit.distance <= near;
}

/** `uint16 or int16`; what differs by its length only is told once. */
export function nameOf({ same }: Candidate): string {
  const names = same.map(({ type, order }) => {
    const shown = DEFAULT_ORDERS.includes(order) ? type : `${type} ${order}`;
    return type.startsWith("string") ? shown.replace(/\(\d+\)/, "(n)") : shown;
  });
  const unique = [...new Set(names)];
  const [first = ""] = same.map(({ type }) => type);
  const head = unique[0]?.replace("string(n)", first) ?? "";
  return [head, ...unique.slice(1, 4)].join(" or ") + (unique.length > 4 ? ` or ${unique.length - 4} more` : "");
}

/** What the register has to be multiplied by; undefined for 1. */
export function scaleOf({ fit }: Candidate): number | undefined {
  return fit === undefined || fit.power === 0 || fit.distance > 0.5 ? undefined : Number(`1e${fit.power}`);
}

/** The line of a configuration for the likeliest meaning of a candidate. */
export function configLine(candidate: Candidate, address: string, name = "NAME"): string {
  const [meaning] = candidate.same;
  if (!meaning) return "";
  const { type, order, bit } = meaning;
  const scale = scaleOf(candidate);
  const keys = [
    `name: ${name}`,
    `address: "${address}${bit === undefined ? "" : `.${bit}`}"`,
    `type: ${type.includes("(") ? `"${type}"` : type}`,
    ...(DEFAULT_ORDERS.includes(order) ? [] : [`order: ${order}`]),
    ...(scale === undefined ? [] : [`scale: ${scale}`]),
  ];
  return `- { ${keys.join(", ")} }`;
}

/** The last values in engineering units. */
export function valuesText(candidate: Candidate, most = 3): string {
  const scale = scaleOf(candidate);
  const shown = candidate.values.slice(-most).map((value) => {
    if (typeof value === "string") return JSON.stringify(value);
    if (scale === undefined || typeof value === "bigint") return numberText(value);
    return numberText(Number((value * scale).toPrecision(12)));
  });
  return new Set(shown).size === 1 ? (shown[0] ?? "") : shown.join(" ");
}

function numberText(value: number | bigint): string {
  const text = String(value);
  return typeof value === "number" && text.length > 12 ? value.toPrecision(7) : text;
}
