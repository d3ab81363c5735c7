import { isDeepStrictEqual } from "node:util";
import type { LoadedConfig, LoadedUplink } from "../config/types.ts";
import { selectorOf } from "../core/selector.ts";
import type { ReloadPlan, ReloadStep } from "./reloader.ts";

/** What has to be stopped and started of parts that have names. */
export interface Moves {
  readonly stop: ReadonlySet<string>;
  readonly start: ReadonlySet<string>;
}

/** A plan with what the running gateway needs to follow it. */
export interface LivePlan extends ReloadPlan {
  readonly links: Moves;
  readonly uplinks: Moves;
  /** Devices or recipes differ, and so does what commands can be for. */
  readonly commands: boolean;
  /** The users of the local broker differ, and nothing else of it. */
  readonly users: boolean;
}

type Given = Readonly<Record<string, unknown>>;

/** Sections that are followed part by part; any other restarts the whole. */
const BY_PART = new Set(["links", "uplinks", "recipes"]);

/** What it takes to go from one configuration to the other. Compares what is written, profiles included, not how. */
export function planReload(before: LoadedConfig, after: LoadedConfig): LivePlan {
  const wholes = sectionsOf(before, after);
  const links = moves(named(before.given["links"]), named(after.given["links"]), "link", linkWhy);
  // An external broker is told at its start which devices are ours.
  const ownTopics = after.broker.external !== undefined && links.steps.length > 0;
  const external: ReloadStep = { part: "broker", action: "restart", why: "it is told the devices when it connects" };
  const uplinks = moves(named(before.given["uplinks"]), named(after.given["uplinks"]), "uplink", keysWhy);
  const births = plantChanges(before, after, uplinks.moves);
  const recipes = !isDeepStrictEqual(before.given["recipes"], after.given["recipes"]);
  const users = wholes.users;
  const steps: ReloadStep[] = [
    ...wholes.steps,
    ...(ownTopics ? [external] : []),
    ...(users ? [{ part: "broker", action: "change" as const, why: "users changed" }] : []),
    ...links.steps,
    ...(recipes ? [{ part: "recipes", action: "change" as const, why: "recipes changed" }] : []),
    ...uplinks.steps,
    ...births.map(
      (part): ReloadStep => ({
        part,
        action: "restart",
        why: "its devices changed, and it tells of them at its start",
      }),
    ),
  ];
  const reborn = births.map((part) => part.slice("uplink ".length));
  return {
    steps,
    whole: wholes.steps.length > 0 || ownTopics,
    links: links.moves,
    uplinks: {
      stop: new Set([...uplinks.moves.stop, ...reborn]),
      start: new Set([...uplinks.moves.start, ...reborn]),
    },
    commands: recipes || links.steps.length > 0,
    users,
  };
}

/** Sections that differ and cannot be followed part by part. */
function sectionsOf(before: LoadedConfig, after: LoadedConfig): { steps: ReloadStep[]; users: boolean } {
  const names = [...new Set([...Object.keys(before.given), ...Object.keys(after.given)])];
  const differing = names.filter(
    (name) => !BY_PART.has(name) && !isDeepStrictEqual(before.given[name], after.given[name]),
  );
  const local = before.broker.external === undefined && after.broker.external === undefined;
  const users =
    local && differing.includes("broker") && keys(before.given["broker"], after.given["broker"]).join() === "users";
  const steps = differing
    .filter((name) => !(users && name === "broker"))
    .map((name): ReloadStep => {
      const changed = keys(before.given[name], after.given[name]);
      return { part: name, action: "restart", why: changed.length > 0 ? `${changed.join(", ")} changed` : "changed" };
    });
  return { steps, users };
}

function moves(
  before: ReadonlyMap<string, Given>,
  after: ReadonlyMap<string, Given>,
  kind: string,
  why: (before: Given, after: Given) => string,
): { steps: ReloadStep[]; moves: Moves } {
  const stop = new Set<string>();
  const start = new Set<string>();
  const steps: ReloadStep[] = [];
  for (const name of before.keys()) {
    if (after.has(name)) continue;
    stop.add(name);
    const left = kind === "uplink" ? "; what it is owed stays until millrace queue forget" : "";
    steps.push({ part: `${kind} ${name}`, action: "stop", why: `removed${left}` });
  }
  for (const [name, one] of after) {
    const known = before.get(name);
    if (known === undefined) {
      start.add(name);
      steps.push({ part: `${kind} ${name}`, action: "start", why: "new" });
    } else if (!isDeepStrictEqual(known, one)) {
      stop.add(name);
      start.add(name);
      steps.push({ part: `${kind} ${name}`, action: "restart", why: why(known, one) });
    }
  }
  return { steps, moves: { stop, start } };
}

/** Of uplinks that are not touched otherwise: those that tell of their devices when they start (Sparkplug births). */
function plantChanges(before: LoadedConfig, after: LoadedConfig, moved: Moves): string[] {
  return after.uplinks
    .filter((uplink) => uplink.module.tellsPlant === true && !moved.start.has(uplink.name))
    .filter((uplink) => !isDeepStrictEqual(devicesFor(uplink, before), devicesFor(uplink, after)))
    .map(({ name }) => `uplink ${name}`);
}

function devicesFor({ shared }: LoadedUplink, { given, links }: LoadedConfig): unknown[] {
  const selector = selectorOf(shared.select);
  const selected = new Set(
    links.flatMap(({ devices }) => devices.filter(({ topic }) => selector.matches(topic)).map(({ name }) => name)),
  );
  return [...named(given["links"]).values()].flatMap((link) =>
    [...named(link["devices"])].filter(([name]) => selected.has(name)),
  );
}

/** Which devices, and what else. */
function linkWhy(before: Given, after: Given): string {
  const [old, now] = [named(before["devices"]), named(after["devices"])];
  const words = [...now].flatMap(([name, device]) => {
    const known = old.get(name);
    if (known === undefined) return [`device ${name} added`];
    const changed = keys(known, device);
    return changed.length === 0 ? [] : [`device ${name}: ${changed.join(", ")} changed`];
  });
  const gone = [...old.keys()].filter((name) => !now.has(name)).map((name) => `device ${name} removed`);
  const rest = keys(before, after).filter((key) => key !== "devices");
  const all = [...(rest.length > 0 ? [`${rest.join(", ")} changed`] : []), ...words, ...gone];
  return all.length > 0 ? all.join("; ") : "order of devices changed";
}

function keysWhy(before: Given, after: Given): string {
  return `${keys(before, after).join(", ")} changed`;
}

/** Keys of two mappings whose values differ. */
function keys(before: unknown, after: unknown): string[] {
  const [a, b] = [mapping(before), mapping(after)];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].filter((key) => !isDeepStrictEqual(a[key], b[key]));
}

function named(list: unknown): ReadonlyMap<string, Given> {
  const found = new Map<string, Given>();
  for (const one of Array.isArray(list) ? list : []) {
    const entry = mapping(one);
    found.set(String(entry["name"]), entry);
  }
  return found;
}

function mapping(value: unknown): Given {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}
