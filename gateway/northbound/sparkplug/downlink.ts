import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import { messageOf } from "../../core/errors.ts";
import type { Logger } from "../../core/log.ts";
import type { Plant } from "../../core/plant.ts";
import type { Value } from "../../core/sample.ts";
import { Summary } from "../summary.ts";
import type { Action } from "./edge-node.ts";
import type { Inbound } from "./session.ts";

type WriteAction = Extract<Action, { kind: "write" }>;

export interface DownlinkParts {
  /** Name of the uplink. */
  readonly name: string;
  readonly plant: Plant | undefined;
  readonly expiryMs: number;
  readonly log: Logger;
}

/**
 * Hands what hosts want written to the gateway's command path, where only writable tags are written, once, and every command is
 * audited. A command of Sparkplug has no id and no expiry: the id is made from its bytes, the expiry from its timestamp.
 */
export class Downlink {
  readonly #parts: DownlinkParts;
  readonly #faults: Summary;

  constructor(parts: DownlinkParts) {
    this.#parts = parts;
    this.#faults = new Summary(parts.log);
  }

  /** Resolves when it is remembered on disk, or was refused. Never rejects. */
  async take(action: WriteAction, message: Inbound, nowMs: number): Promise<void> {
    const { plant, name } = this.#parts;
    const { device, writes, unknown } = action;
    if (device === undefined || plant === undefined) {
      const metrics = [...writes.map((one) => one.name), ...unknown];
      this.refuse("a metric of the node cannot be written", { metrics: metrics.slice(0, 20) });
      return;
    }
    try {
      await plant.command(device, this.#bodyOf(action, message, nowMs), `uplink ${name} (DCMD)`);
    } catch (error) {
      this.refuse("a command could not be remembered, so it was not begun", { device, reason: messageOf(error) });
    }
  }

  refuse(reason: string, fields: object = {}): void {
    this.#faults.report("warn", reason, { ...fields, reason }, "a message from upstream was not followed");
  }

  #bodyOf({ writes, unknown, timestamp }: WriteAction, message: Inbound, nowMs: number): Buffer {
    const list = [
      ...writes.map(({ name: tag, value }) => ({ tag, value: jsonValue(value) })),
      // One that there is not keeps the others from being written, and the answer names it.
      ...unknown.map((tag) => ({ tag, value: 0 })),
    ];
    const expires = Math.round((timestamp ?? nowMs) + this.#parts.expiryMs);
    return Buffer.from(JSON.stringify({ id: this.#idOf(message, timestamp), expires, writes: list }));
  }

  /** The same bytes with the same time are the same command, however often they come. */
  #idOf({ topic, payload }: Inbound, timestamp: number | undefined): string {
    const prefix = `sparkplug/${this.#parts.name.slice(0, 40)}`;
    if (timestamp === undefined) return `${prefix}/${randomUUID()}`;
    const hash = createHash("sha256").update(topic).update("\0").update(payload).digest("hex");
    return `${prefix}/${timestamp}-${hash.slice(0, 24)}`;
  }
}

/** Null where there is no value, or none of the metric's type: the command path refuses it, and says so. */
function jsonValue(value: Value | undefined): unknown {
  if (typeof value === "bigint") return String(value);
  return typeof value === "object" ? null : (value ?? null);
}
