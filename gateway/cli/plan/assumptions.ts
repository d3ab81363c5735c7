import type { Plan } from "./model.ts";
import { duration, number, percent, rate } from "./units.ts";

/** What the plan takes for given, in sentences. */
export function assumptions(plan: Plan): string[] {
  const { settings, deadbanded, listened, uplinks, flows } = plan;
  const { rttMs, most, change, captured, capturedBytes, rate: given } = settings;
  const texts = [
    "Devices answer, and values have usual magnitudes for their types (or lie in the range of the tag): sizes are those of real records and messages made of such values.",
    "Bytes on the wire are topic, body and properties; TCP, TLS and acknowledgements come on top.",
    `A message takes ${duration(rttMs / 1000)} until it is acknowledged (--rtt), and this machine sends ${rate(most)} at most (--most).`,
    "The queue holds nothing that is owed when the outage begins, and uplinks are away together.",
    "M/M/k: messages come at random (Poisson), round trips are exponential and independent, nobody gives up. Real scans come more evenly, so real waits are shorter.",
    "Funnel: the consumers of a stage are reached independently of each other; what they have in common (a cable, a power supply) makes it worse.",
  ];
  if (deadbanded > 0) {
    const how =
      change === 1 ? "every reading (the worst case; give --change)" : `${percent(100 * change)} of the readings`;
    texts.push(`${deadbanded} tags have a deadband: they are taken to move beyond it at ${how}, each by itself.`);
  }
  if (given !== undefined)
    texts.push(`What comes in is ${rate(given)} in all (--rate), shared as the configuration has it.`);
  if (captured > 0)
    texts.push(
      `Local clients publish ${rate(captured)} of ${number(capturedBytes)} bytes that are captured (--captured, --size).`,
    );
  if (captured === 0 && flows.every(({ flow }) => flow.values > 0))
    texts.push("Messages of local clients come on top (--captured).");
  if (listened.length > 0 && given === undefined)
    texts.push(
      `${listened.join(", ")} speak${listened.length === 1 ? "s" : ""} unasked: nothing is counted for it (--rate).`,
    );
  const own = uplinks.filter(({ type }) => type === "sparkplug");
  if (own.length > 0)
    texts.push("Sparkplug bodies are made at the moment of sending: their size here is that of the stored record.");
  return texts;
}
