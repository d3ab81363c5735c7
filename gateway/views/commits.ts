import { ConfigError } from "../core/errors.ts";
import type { ApplyWish, CommitSource } from "../http/api/commit-routes.ts";
import type { ConfigPlan, HistoryList, HistoryText, PendingView } from "../http/api/schemas.ts";
import type { CommitDesk } from "../reload/commit.ts";
import type { HistoryEntry } from "../reload/history.ts";
import type { ConfigViews } from "./config.ts";

/** Changes of the configuration as the API shows them: secrets are masked on the way out and put in again on the way in. */
export class CommitViews implements CommitSource {
  readonly #configs: ConfigViews;
  readonly #desk: CommitDesk | undefined;

  /** Without a desk nothing can be applied. */
  constructor(configs: ConfigViews, desk: CommitDesk | undefined) {
    this.#configs = configs;
    this.#desk = desk;
  }

  pending(): PendingView {
    return shown(this.#found().state());
  }

  async plan(text: string): Promise<ConfigPlan> {
    const { whole, steps } = await this.#found().planOf(await this.#configs.unmasked(text));
    return { whole, steps: steps.map((step) => ({ ...step })) };
  }

  async apply(wish: ApplyWish, by: string): Promise<PendingView> {
    const desk = this.#found();
    return shown(await desk.apply({ ...wish, text: await this.#configs.unmasked(wish.text), by }));
  }

  async confirm(by: string): Promise<PendingView> {
    return shown(await this.#found().confirm(by));
  }

  revert(by: string): PendingView {
    return shown(this.#found().revert(by));
  }

  async history(): Promise<HistoryList> {
    return { entries: (await this.#found().history.list()).map(briefOf) };
  }

  async historyText(id: number): Promise<HistoryText | undefined> {
    const entry = await this.#found().history.get(id);
    if (!entry) return undefined;
    const [text, diff] = await Promise.all([this.#configs.masked(entry.text), this.#configs.diff(entry.text)]);
    return { ...briefOf(entry), text, diff };
  }

  #found(): CommitDesk {
    if (!this.#desk)
      throw new ConfigError("this gateway was started in a way that its configuration cannot be replaced");
    return this.#desk;
  }
}

function shown({ plan, unhealthy, ...rest }: ReturnType<CommitDesk["state"]>): PendingView {
  const steps = plan?.steps.map((step) => ({ ...step }));
  return { ...rest, unhealthy: [...unhealthy], ...(plan && steps ? { plan: { whole: plan.whole, steps } } : {}) };
}

function briefOf({ text: _text, ...rest }: HistoryEntry): HistoryList["entries"][number] {
  return rest;
}
