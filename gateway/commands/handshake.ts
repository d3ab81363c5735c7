import type { Clock } from "../core/clock.ts";
import { type Tag, UncertainWriteError } from "../core/driver.ts";
import { messageOf } from "../core/errors.ts";
import type { Recipe } from "../core/recipe.ts";
import type { Value } from "../core/sample.ts";
import { pause } from "./pause.ts";
import { holds } from "./recipe.ts";
import type { Result } from "./result.ts";
import type { Target } from "./target.ts";

/** Between two looks at the PLC's answer. */
const LOOK_MS = 200;
/** How long a device that does not answer is waited for, to set a tag of the handshake. */
const WRITE_MS = 10_000;
const READ_MS = 5000;

export interface HandshakeParts {
  readonly recipe: Recipe;
  readonly target: Target;
  readonly clock: Clock;
  /** Of the gateway: nobody waits any more. */
  readonly stopped: AbortSignal;
}

/** How far it came. `ready` is what was written to that tag, if anything. */
export interface HandshakeOutcome {
  readonly handshake: NonNullable<Result["handshake"]>;
  readonly error?: string;
  readonly ready?: { readonly before?: Value | undefined; readonly after?: Value | undefined };
}

/**
 * Why a recipe may not begin: the PLC still shows the end of the last one, also after the time it has for a handshake.
 * @throws as `Target.read`.
 */
export async function staleDone(parts: HandshakeParts, signal: AbortSignal): Promise<string | undefined> {
  const { recipe, target, clock, stopped } = parts;
  const { done } = recipe;
  const tag = done && tagOf(target, done.tag);
  if (!done || !tag) return undefined;
  const untilMs = clock.now().monoMs + recipe.withinMs;
  for (;;) {
    const [sample] = await target.read([tag], signal);
    if (sample?.quality !== "good") return `${done.tag} cannot be read: ${sample?.reason ?? "no answer"}`;
    if (!holds(sample.value, done.value)) return undefined;
    if (clock.now().monoMs >= untilMs)
      return `${done.tag} is ${String(sample.value)} already: the PLC has not ended the last handshake`;
    await pause(LOOK_MS, stopped);
  }
}

/**
 * Ends a handshake that nobody follows any more: `ready` would keep the PLC in it, and every later recipe out.
 * @param held what `ready` holds now. @returns what was done about it; undefined where nothing had to be.
 */
export async function endHandshake(parts: HandshakeParts, held: Value | undefined): Promise<string | undefined> {
  const { ready } = parts.recipe;
  if (!ready || ready.reset === undefined || !holds(held, ready.value)) return undefined;
  return (await takeBack(parts)) ?? `${ready.tag} was reset`;
}

/**
 * What follows when all values are written: says that they are ready and waits for the PLC's answer.
 * @returns undefined when the gateway stops meanwhile. @throws UncertainWriteError when `ready` may have been set.
 */
export async function shakeHands(parts: HandshakeParts): Promise<HandshakeOutcome | undefined> {
  const { recipe, target, stopped } = parts;
  const { ready, done } = recipe;
  let shown: HandshakeOutcome["ready"];
  if (ready) {
    const tag = tagOf(target, ready.tag);
    if (!tag) return { handshake: "not ready", error: `the device has no tag ${ready.tag}` };
    try {
      const [result] = await target.write([{ tag, value: ready.value }], within(stopped, WRITE_MS));
      if (result?.ok !== true)
        return { handshake: "not ready", error: `${ready.tag}: ${result?.reason ?? "not written"}` };
      shown = { before: result.before, after: result.after };
    } catch (error) {
      if (error instanceof UncertainWriteError) throw error;
      if (stopped.aborted) return undefined;
      return { handshake: "not ready", error: `${ready.tag} could not be set: ${messageOf(error)}` };
    }
  }
  const error = done && (await untilDone(parts, done));
  if (stopped.aborted && error !== undefined) return undefined;
  const reset = await takeBack(parts);
  const both = [error, reset].filter((text) => text !== undefined).join("; ");
  return {
    handshake: error === undefined ? "done" : "not done",
    ...(both === "" ? {} : { error: both }),
    ...(shown && { ready: shown }),
  };
}

/** Undefined when the PLC said it in time. */
async function untilDone(parts: HandshakeParts, done: NonNullable<Recipe["done"]>): Promise<string | undefined> {
  const { recipe, target, clock, stopped } = parts;
  const tag = tagOf(target, done.tag);
  if (!tag) return `the device has no tag ${done.tag}`;
  const untilMs = clock.now().monoMs + recipe.withinMs;
  let last = "nothing";
  do {
    try {
      const [sample] = await target.read([tag], within(stopped, READ_MS));
      if (sample?.quality === "good" && holds(sample.value, done.value)) return undefined;
      last = sample?.quality === "good" ? String(sample.value) : (sample?.reason ?? "no answer");
    } catch (error) {
      last = messageOf(error);
    }
    await pause(LOOK_MS, stopped);
  } while (!stopped.aborted && clock.now().monoMs < untilMs);
  return `the PLC did not set ${done.tag} to ${String(done.value)} within ${recipe.withinMs} ms (last: ${last})`;
}

/** Undefined when `ready` holds again what it is to hold between two recipes. */
async function takeBack({ recipe, target, stopped }: HandshakeParts): Promise<string | undefined> {
  const { ready } = recipe;
  const tag = ready && tagOf(target, ready.tag);
  if (!ready || !tag || ready.reset === undefined) return undefined;
  try {
    const [result] = await target.write([{ tag, value: ready.reset }], within(stopped, WRITE_MS));
    return result?.ok === true ? undefined : `${ready.tag} was not reset: ${result?.reason ?? "not written"}`;
  } catch (error) {
    return `${ready.tag} was not reset: ${messageOf(error)}`;
  }
}

function within(stopped: AbortSignal, ms: number): AbortSignal {
  return AbortSignal.any([stopped, AbortSignal.timeout(ms)]);
}

function tagOf(target: Target, name: string): Tag | undefined {
  return target.device.tags.find((tag) => tag.name === name);
}
