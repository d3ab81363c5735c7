import { ProbeTokens } from "../../../drivers/modbus/learn/budget.ts";
import type { Content } from "../../../drivers/modbus/learn/content.ts";
import { Learner } from "../../../drivers/modbus/learn/learner.ts";
import { planReads } from "../../../drivers/modbus/plan/plan.ts";
import type { ReadRequest } from "../../../drivers/modbus/plan/request.ts";
import type { Device, Request } from "../../../gateway/core/driver.ts";
import type { Sample } from "../../../gateway/core/sample.ts";
import { GroupRun } from "../../../gateway/southbound/group-run.ts";
import { planLink } from "../../../gateway/southbound/plan.ts";
import { deviceOf, type TagTexts } from "./bench.ts";

const RTU = { type: "rtu", path: "p", baud: 19_200, parity: "even", dataBits: 8 } as const;

/** A unit in memory, in virtual time: what it refuses, and what it was asked. */
export class ModelUnit {
  /** Addresses of `holding` that do not exist. */
  missing = new Set<number>();
  /** No read may cross from one before these to these. */
  borders: number[] = [];
  most = 125;
  /** What happens to a longer read: an exception, or silence. */
  tooLong: 2 | 3 | "silent" = 3;
  replyMs = 5;
  isAway = false;
  readonly asked: string[] = [];

  answer({ question }: ReadRequest): "ok" | "silent" | number {
    const { address, count } = question;
    this.asked.push(`${address}+${count}`);
    if (this.isAway) return "silent";
    if (count > this.most) return this.tooLong;
    for (let at = address; at < address + count; at++) if (this.missing.has(at)) return 2;
    return this.borders.some((border) => address < border && border < address + count) ? 2 : "ok";
  }
}

/** One scan group of one device on a model unit, polled at its rate by the real schedule and the real planner. */
export class ModelPoll {
  nowMs = 1_000_000;
  saved: Content | undefined;
  readonly unit = new ModelUnit();
  readonly device: Device;
  #learner: Learner;
  #run: GroupRun;

  constructor(tags: TagTexts, options: Record<string, unknown> = {}) {
    this.device = deviceOf({ unit: 1, ...options }, tags);
    [this.#learner, this.#run] = this.#make();
  }

  get learner(): Learner {
    return this.#learner;
  }

  /** The process is another one; what was saved is there. */
  restart(): void {
    if (this.saved) this.saved = JSON.parse(JSON.stringify(this.saved));
    [this.#learner, this.#run] = this.#make();
  }

  plan(): string[] {
    this.#run.plan.refresh?.();
    return this.#run.plan.requests.map(({ label }) => label);
  }

  /** One scan. @returns the reason for each tag that is bad, and how many requests it took. */
  scan(): { bad: Record<string, string>; requests: number } {
    this.#run.suspend();
    this.#run.resume(this.nowMs);
    this.nowMs = Math.max(this.nowMs + 1000, this.#run.wakeMs);
    const before = this.unit.asked.length;
    for (;;) {
      const turn = this.#run.take(this.nowMs);
      if (!turn) throw new Error("nothing to read");
      const done = this.#run.give(turn, this.#read(turn.request), this.nowMs);
      if (!done) continue;
      const names = done.samples.map(({ tag }) => tag).sort();
      if (
        names.join() !==
        this.device.tags
          .map(({ name }) => name)
          .sort()
          .join()
      )
        throw new Error(`samples of ${names}`);
      const bad = done.samples.flatMap(({ tag, quality, reason = "" }) => (quality === "good" ? [] : [[tag, reason]]));
      return { bad: Object.fromEntries(bad), requests: this.unit.asked.length - before };
    }
  }

  /** Scans until two in a row are good. @returns how many that took, and the most requests in one. */
  settle(limit = 200): { scans: number; most: number } {
    let most = 0;
    for (let scans = 0; scans < limit; scans++) {
      const { bad, requests } = this.scan();
      most = Math.max(most, requests);
      if (Object.keys(bad).length === 0 && Object.keys(this.scan().bad).length === 0) return { scans, most };
    }
    throw new Error(`not settled after ${limit} scans: ${this.plan().join(", ")}`);
  }

  #make(): [Learner, GroupRun] {
    const learner = new Learner({
      saved: this.saved,
      save: (content) => {
        this.saved = content;
      },
      tokens: new ProbeTokens(),
      nowMs: () => this.nowMs,
    });
    const driver = {
      plan: (device: Device, tags: Device["tags"]): Request[] => planReads(device, tags, {}, RTU, learner),
      revision: () => learner.revision,
    };
    const [plan] = planLink(driver, [this.device]);
    if (!plan) throw new Error("no group");
    return [learner, new GroupRun(plan, 0)];
  }

  #read(request: Request): Sample[] {
    const read = request as ReadRequest;
    const outcome = this.unit.answer(read);
    if (outcome === "ok") this.#learner.answered(read, this.unit.replyMs);
    else if (outcome === "silent") this.#learner.silent(read);
    else this.#learner.refused(read, outcome);
    const quality = outcome === "ok" ? "good" : "bad";
    const reason = outcome === "silent" ? "timeout" : `exception ${outcome}`;
    const refused = read.refused.map((tag) => ({
      tag: tag.name,
      quality: "bad" as const,
      reason: "left out",
      monoMs: 0,
    }));
    const samples = read.points.map(({ tag }) => ({
      tag: tag.name,
      quality: quality as "good" | "bad",
      monoMs: this.nowMs,
      ...(quality === "good" ? { value: 1 } : { reason }),
    }));
    return [...samples, ...refused];
  }
}
