import { readFile } from "node:fs/promises";
import type { Auditor } from "../core/audit.ts";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { hashOf, replaceText } from "./config-file.ts";
import type { ConfigHistory, HistoryEntry } from "./history.ts";
import type { Reloader, ReloadPlan } from "./reloader.ts";

export interface CommitParts {
  /** Absolute path of the configuration. */
  readonly file: string;
  readonly history: ConfigHistory;
  readonly reloader: Reloader;
  /** What applying a text would do. @throws ConfigFaults, or ConfigError where it may not be applied so. */
  readonly planOf: (text: string) => Promise<ReloadPlan>;
  /** Links, devices and uplinks, and whether each is well. */
  readonly condition: () => ReadonlyMap<string, boolean>;
  /** The trail of the life that runs now. */
  readonly audit: () => Auditor;
  readonly log: Logger;
  /** `replaceText` unless given. */
  readonly replace?: (path: string, text: string) => Promise<void>;
}

export interface ApplyRequest {
  readonly text: string;
  /** SHA-256 of the text that it was made from. */
  readonly base: string;
  readonly note: string;
  readonly confirmMs: number;
  /** Whether it goes back without a confirmation even where all is well. */
  readonly always: boolean;
  readonly by: string;
}

/** How long until what could not be written is tried again. */
const RETRY_MS = 10_000;

/** How the last change ended. */
export interface Ended {
  readonly id: number;
  readonly outcome: "confirmed" | "reverted";
  readonly why: string;
}

export interface PendingState {
  readonly state: "none" | "applying" | "waiting" | "confirming" | "reverting";
  readonly id?: number;
  readonly by?: string;
  readonly note?: string;
  /** Milliseconds until it goes back. */
  readonly leftMs?: number;
  /** Goes back unless somebody confirms it, however well all is. */
  readonly mustConfirm?: boolean;
  /** What was well before, or is new, and is not well now. */
  readonly unhealthy: readonly string[];
  readonly plan?: ReloadPlan;
  readonly last?: Ended;
}

interface Pending {
  readonly request: ApplyRequest;
  readonly plan: ReloadPlan;
  readonly applied: HistoryEntry;
  readonly before: HistoryEntry;
  readonly wasWell: ReadonlyMap<string, boolean>;
  readonly mustConfirm: boolean;
  state: "applying" | "waiting" | "confirming" | "reverting";
  untilMs: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Applies a configuration on probation: it goes back by itself where nobody confirms it and something is less well than before, or where
 * the change may have locked out whoever made it. It outlives each life of the gateway; what waits is on disk before the file is
 * replaced, so that a start that finds it goes back.
 */
export class CommitDesk {
  readonly #parts: CommitParts;
  #pending: Pending | undefined;
  #beginning = false;
  #last: Ended | undefined;

  constructor(parts: CommitParts) {
    this.#parts = parts;
  }

  get history(): ConfigHistory {
    return this.#parts.history;
  }

  /** What applying a text would do; nothing is changed. @throws as `CommitParts.planOf`. */
  planOf(text: string): Promise<ReloadPlan> {
    return this.#parts.planOf(text);
  }

  state(): PendingState {
    const last = this.#last === undefined ? {} : { last: this.#last };
    const pending = this.#pending;
    if (!pending) return { state: "none", unhealthy: [], ...last };
    const { state, request, applied, plan, mustConfirm, untilMs } = pending;
    return {
      state,
      id: applied.id,
      by: request.by,
      note: request.note,
      plan,
      mustConfirm,
      unhealthy: state === "waiting" ? this.#unhealthy(pending) : [],
      ...(state === "waiting" ? { leftMs: Math.max(0, Math.round(untilMs - performance.now())) } : {}),
      ...last,
    };
  }

  /**
   * Puts the text in place of the file and begins to apply it; `state` tells how it goes on.
   * @throws ConfigFaults when the text is wrong; ConfigError when another change waits, or the file is another than `base`;
   * StorageError. Nothing was changed then.
   */
  async apply(request: ApplyRequest): Promise<PendingState> {
    const { file, history, planOf, condition, replace = replaceText } = this.#parts;
    if (this.#pending || this.#beginning)
      throw new ConfigError("another change waits for its confirmation; confirm it or take it back first");
    this.#beginning = true;
    try {
      const present = await readFile(file, "utf8");
      if (hashOf(present) !== request.base)
        throw new ConfigError("the file was changed since this text was made from it; load it anew");
      const plan = await planOf(request.text);
      const before = await history.present(present);
      const { text, by, note } = request;
      const applied = await history.add({ text, by, note, outcome: "waiting" });
      const wasWell = new Map(condition());
      // From here on a start goes back.
      await history.wait({ id: applied.id, before: before.id, file });
      try {
        await replace(file, text);
      } catch (error) {
        await this.#neverApplied(applied, request.base, messageOf(error));
        throw error;
      }
      const mayLockOut = plan.steps.some(({ part }) => part === "http" || part === "broker" || part === "gateway");
      const mustConfirm = request.always || mayLockOut;
      const rest = { wasWell, mustConfirm, state: "applying" as const, untilMs: 0, timer: undefined };
      this.#pending = { request, plan, applied, before, ...rest };
    } finally {
      this.#beginning = false;
    }
    void this.#run(this.#pending);
    return this.state();
  }

  /** The file could not be replaced: where it is as before, nothing waits, so that a start leaves alone what is then put there by hand. */
  async #neverApplied({ id }: HistoryEntry, base: string, why: string): Promise<void> {
    const { file, history } = this.#parts;
    const present = await readFile(file, "utf8").catch(() => "");
    if (hashOf(present) !== base) return;
    await history.settle();
    await history.close(id, "reverted", why);
  }

  /** It stays. @throws ConfigError where nothing waits. */
  async confirm(by: string): Promise<PendingState> {
    const pending = this.#waiting();
    await this.#keep(pending, `confirmed by ${by}`, by);
    return this.state();
  }

  /** It goes back at once. @throws ConfigError where nothing waits. */
  revert(by: string): PendingState {
    const pending = this.#waiting();
    void this.#goBack(pending, `taken back by ${by}`, by);
    return this.state();
  }

  #waiting(): Pending {
    if (this.#pending?.state !== "waiting") throw new ConfigError("no change waits for a confirmation");
    return this.#pending;
  }

  /** Never rejects. */
  async #run(pending: Pending): Promise<void> {
    const { reloader, log } = this.#parts;
    const { request, applied, mustConfirm } = pending;
    try {
      await reloader.reload(request.by);
    } catch (error) {
      await this.#goBack(pending, messageOf(error), request.by);
      return;
    }
    pending.state = "waiting";
    this.#decideAfter(pending, request.confirmMs);
    log.warn(
      { configuration: applied.id, by: request.by, seconds: request.confirmMs / 1000, mustConfirm },
      "a configuration runs on probation: it goes back unless it is confirmed",
    );
  }

  #decideAfter(pending: Pending, ms: number): void {
    pending.untilMs = performance.now() + ms;
    pending.timer = setTimeout(() => void this.#decide(pending), ms);
  }

  /** Never rejects: where the disk refuses the end of it, it waits on, and is decided later. */
  async #decide(pending: Pending): Promise<void> {
    const unhealthy = this.#unhealthy(pending);
    if (unhealthy.length > 0) await this.#goBack(pending, `not confirmed, and not well: ${unhealthy.join(", ")}`, "");
    else if (pending.mustConfirm) await this.#goBack(pending, "nobody confirmed it", "");
    else {
      await this.#keep(pending, "all links and uplinks are as well as before", "").catch((error: unknown) => {
        this.#parts.log.error(
          { configuration: pending.applied.id, error: messageOf(error) },
          "the configuration cannot be kept: its confirmation cannot be written; it waits on",
        );
        this.#decideAfter(pending, RETRY_MS);
      });
    }
  }

  /** @throws StorageError when that cannot be written: it waits as before then. */
  async #keep(pending: Pending, why: string, by: string): Promise<void> {
    // Nobody else confirms it or takes it back meanwhile.
    pending.state = "confirming";
    try {
      await this.#parts.history.settle();
    } catch (error) {
      pending.state = "waiting";
      throw error;
    }
    clearTimeout(pending.timer);
    await this.#end(pending, "confirmed", why, by);
  }

  /** Never rejects. */
  async #goBack(pending: Pending, why: string, by: string): Promise<void> {
    const { history, reloader, log } = this.#parts;
    clearTimeout(pending.timer);
    pending.state = "reverting";
    const byHand = await this.#putBack(pending);
    let told = byHand ? `${why}; the file was changed by hand meanwhile and is left as it is` : why;
    try {
      await history.settle();
      await reloader.reload(by === "" ? "commit-confirm" : by);
    } catch (error) {
      told = `${told}; going back: ${messageOf(error)}`;
      log.error(
        { configuration: pending.applied.id, error: messageOf(error) },
        "the configuration before cannot be applied",
      );
    }
    await this.#end(pending, "reverted", told, by);
  }

  /** Gives whether the file is another than the one applied, and was left alone. Where it cannot be replaced, it is tried until it can. */
  async #putBack({ applied, before }: Pending): Promise<boolean> {
    const { file, log, replace = replaceText } = this.#parts;
    for (;;) {
      const present = await readFile(file, "utf8").catch(() => "");
      if (hashOf(present) !== applied.sha256) return true;
      try {
        await replace(file, before.text);
        return false;
      } catch (error) {
        log.error(
          { configuration: applied.id, error: messageOf(error), seconds: RETRY_MS / 1000 },
          "the configuration before cannot be put back; it is tried again",
        );
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  async #end({ applied }: Pending, outcome: Ended["outcome"], why: string, by: string): Promise<void> {
    const { history, audit, log, file } = this.#parts;
    this.#last = { id: applied.id, outcome, why };
    this.#pending = undefined;
    await history.close(applied.id, outcome, why).catch((error: unknown) => {
      log.warn({ configuration: applied.id, error: messageOf(error) }, "the history cannot be written");
    });
    const fields = { configuration: applied.id, why };
    if (outcome === "confirmed") log.info(fields, "configuration confirmed");
    else log.warn(fields, "configuration taken back");
    await audit().record({
      actor: by === "" ? "commit-confirm" : by,
      action: outcome === "confirmed" ? "config.confirm" : "config.revert",
      target: file,
      outcome: "ok",
      detail: `configuration ${applied.id}: ${why}`,
    });
  }

  /** What was well before, or was not there, and is not well now. */
  #unhealthy({ wasWell }: Pending): string[] {
    return [...this.#parts.condition()]
      .filter(([part, well]) => !well && wasWell.get(part) !== false)
      .map(([part]) => part);
  }
}
