import { table } from "../table.ts";
import type { FunnelView, SendersView } from "./model.ts";
import { duration, number, percent, rate } from "./units.ts";

/** The queueing view of each uplink: formula and simulation side by side. */
export function senderLines(views: readonly SendersView[]): string {
  if (views.length === 0) return "";
  const rows = views.flatMap(rowsOf);
  return [
    "Senders as a queue (M/M/k): k messages without an acknowledgement at once, each for a round trip",
    table([["UPLINK", "", "ERLANG C", "SIMULATED", "ERROR"], ...rows]).replace(/^/gm, "  "),
  ].join("\n");
}

function rowsOf(view: SendersView): string[][] {
  const { uplink, k, meaning, messagesPerSecond, serviceSeconds, formula, simulated } = view;
  const head = [
    `${uplink}, k = ${k}`,
    `${meaning}; ${rate(messagesPerSecond)} of ${duration(serviceSeconds)}`,
    "",
    "",
    "",
  ];
  const used = percent(100 * formula.utilisation);
  if (formula.utilisation >= 1)
    return [head, ["", "utilisation", used, "", ""], ["", "waiting", "grows without end", "", ""]];
  if (simulated === undefined) return [head, ["", "utilisation", used, "", ""]];
  // A quantity that was hardly seen cannot be compared.
  const rare = simulated.spread === undefined || simulated.spread > 0.05;
  const compared = (one: number, other: number) => (rare ? "too rare to tell" : error(one, other));
  const chance = simulated.waits === 0 ? `none of ${number(simulated.arrivals)}` : probability(simulated.waits);
  const total = simulated.wait + serviceSeconds;
  return [
    head,
    ["", "utilisation", used, percent(100 * simulated.utilisation), error(simulated.utilisation, formula.utilisation)],
    ["", "probability to wait", probability(formula.waits), chance, compared(simulated.waits, formula.waits)],
    ["", "mean time waited", time(formula.wait), time(simulated.wait), compared(simulated.wait, formula.wait)],
    ["", "with the round trip", time(formula.total), time(total), error(total, formula.total)],
    ...(simulated.adjusted ? [["", "simulated with control variates (flow balance)", "", "", ""]] : []),
  ];
}

function time(seconds: number): string {
  return seconds < 1e-9 ? "0 ms" : duration(seconds);
}

export function funnelLines({ first, fromOutage, k, formula, simulated }: FunnelView): string {
  const origin = fromOutage ? "the part of the time without the outage, when one comes after each day" : "as given";
  const rows = formula.map((value, stage) => [
    String(stage),
    probability(value),
    probability(simulated[stage] ?? 0),
    stage === 0 ? "" : error(simulated[stage] ?? 0, value),
  ]);
  return [
    `Funnel P(n) = 1 - (1 - P(n-1))^k: a message passes stage n when one of k = ${k} consumers has it; P(0) = ${probability(first)}, ${origin}`,
    table([["STAGE", "FORMULA", "SIMULATED", "ERROR"], ...rows]).replace(/^/gm, "  "),
  ].join("\n");
}

/** With all the digits that tell it from 0 and from 1. */
function probability(value: number): string {
  if (value === 0 || value === 1) return String(value);
  if (value < 1e-4) return value.toExponential(2);
  return value > 0.9999 ? `1 - ${(1 - value).toExponential(2)}` : value.toPrecision(4);
}

function error(simulated: number, formula: number): string {
  if (formula === 0) return "";
  const off = 100 * (simulated / formula - 1);
  return `${off >= 0 ? "+" : ""}${off.toFixed(2)} %`;
}
