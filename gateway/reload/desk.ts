import type { LoadedConfig } from "../config/types.ts";
import type { Auditor } from "../core/audit.ts";
import { ConfigError, messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import { type LivePlan, planReload } from "./plan.ts";
import { type Asker, ReloadError, type Reloader, type ReloadPlan } from "./reloader.ts";

/** One life of the gateway, from its start to its stop. */
export interface Life {
  /** Goes over to the next configuration, part by part. @throws when a part does not start. */
  follow(next: LoadedConfig, plan: LivePlan): Promise<void>;
  /** Links, devices and uplinks, and whether each is well. */
  condition(): ReadonlyMap<string, boolean>;
  readonly trail: Auditor;
}

/** The present life is to end, and another to begin within the process. */
export interface Turn {
  readonly config: LoadedConfig;
  /** It runs. */
  done(): void;
  /** It did not start; what ran before runs again. */
  failed(error: unknown): void;
}

/** How the last reload went, for those whose connection ended with the life they asked. */
export interface ReloadState {
  /** Counts the reloads since the start of the process. */
  readonly number: number;
  readonly state: "none" | "running" | "applied" | "failed";
  readonly plan?: ReloadPlan;
  readonly error?: string;
}

export interface DeskParts {
  /** Reads the file anew. @throws ConfigFaults. */
  readonly load: () => Promise<LoadedConfig>;
  readonly log: Logger;
}

/** Where a reload is asked for: one after the other, over all lives of the gateway in this process. */
export class ReloadDesk implements Reloader {
  readonly #parts: DeskParts;
  #life: Life | undefined;
  #config: LoadedConfig | undefined;
  #turn: ((turn: Turn) => void) | undefined;
  /** Resolves when a life runs. */
  #alive: Promise<void> = Promise.resolve();
  #revive: () => void = () => {};
  #work: Promise<unknown> = Promise.resolve();
  #state: ReloadState = { number: 0, state: "none" };

  constructor(parts: DeskParts) {
    this.#parts = parts;
  }

  /** A life runs with this configuration. Resolves when it is to end for another. */
  runs(life: Life, config: LoadedConfig): Promise<Turn> {
    this.#life = life;
    this.#config = config;
    this.#revive();
    return new Promise((resolve) => {
      this.#turn = resolve;
    });
  }

  /** The life that runs, or the last one that did. */
  get life(): Life | undefined {
    return this.#life;
  }

  /** What runs at present; undefined before the first start. */
  get config(): LoadedConfig | undefined {
    return this.#config;
  }

  get state(): ReloadState {
    return this.#state;
  }

  async plan(): Promise<ReloadPlan> {
    const { steps, whole } = planReload(this.#running(), await this.#parts.load());
    return { steps, whole };
  }

  reload(by: Asker): Promise<ReloadPlan> {
    const number = this.#state.number + 1;
    this.#state = { number, state: "running" };
    const done = this.#work.then(() => this.#reload(by, number));
    this.#work = done.catch(() => {});
    return done;
  }

  async #reload(by: Asker, number: number): Promise<ReloadPlan> {
    const { log } = this.#parts;
    try {
      const present = this.#running();
      const next = await this.#parts.load();
      const plan = planReload(present, next);
      const shown = { steps: plan.steps, whole: plan.whole };
      this.#tell({ number, state: "running", plan: shown });
      for (const warning of next.warnings) log.warn({ warning }, "configuration");
      if (plan.steps.length > 0) log.info({ by, ...shown }, "configuration is being applied");
      if (plan.whole) await this.#restart(next);
      else if (plan.steps.length > 0) await this.#follow(next, plan);
      this.#tell({ number, state: "applied", plan: shown });
      const detail = plan.steps.map(({ part, action, why }) => `${action} ${part} (${why})`).join("; ");
      log.info(
        { by, steps: plan.steps.length },
        detail === "" ? "configuration is as it runs" : "configuration applied",
      );
      await this.#note(by, "ok", detail === "" ? "nothing differs" : detail);
      return shown;
    } catch (error) {
      const reason = messageOf(error);
      // What ran before is on its way back.
      await this.#alive;
      this.#tell({ ...this.#state, number, state: "failed", error: reason });
      log.error({ by, error: reason }, "configuration not applied; what ran before runs");
      await this.#note(by, "failed", reason);
      throw error;
    }
  }

  async #note(by: Asker, outcome: "ok" | "failed", detail: string): Promise<void> {
    const target = this.#config?.file ?? "";
    await this.#life?.trail.record({ actor: by, action: "config.reload", target, outcome, detail });
  }

  /** A later one may wait already. */
  #tell(state: ReloadState): void {
    if (this.#state.number === state.number) this.#state = state;
  }

  async #follow(next: LoadedConfig, plan: LivePlan): Promise<void> {
    const before = this.#running();
    try {
      await this.#life?.follow(next, plan);
      this.#config = next;
    } catch (error) {
      // Some parts may run and some not: only a whole restart is sure to bring back what ran before.
      this.#parts.log.error({ error: messageOf(error) }, "a part did not start; going back");
      await this.#restart(before);
      throw new ReloadError(`did not start: ${messageOf(error)}`, { cause: error });
    }
  }

  #restart(config: LoadedConfig): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (error: unknown) =>
        reject(new ReloadError(`did not start: ${messageOf(error)}`, { cause: error }));
      const turn = this.#turn;
      this.#turn = undefined;
      if (turn) {
        this.#alive = new Promise((alive) => {
          this.#revive = alive;
        });
        turn({ config, done: resolve, failed });
      } else failed(new ConfigError("the gateway is stopping"));
    });
  }

  #running(): LoadedConfig {
    if (!this.#config) throw new ConfigError("the gateway is still starting; try again");
    return this.#config;
  }
}
