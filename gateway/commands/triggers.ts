import { messageOf } from "../core/errors.ts";
import type { Logger } from "../core/log.ts";
import type { Recipe } from "../core/recipe.ts";
import type { Sample } from "../core/sample.ts";
import { holds } from "./recipe.ts";

export interface TriggerParts {
  readonly recipes: readonly Recipe[];
  /** Begins a recipe. @throws StorageError. */
  readonly begin: (recipe: Recipe) => Promise<void>;
  readonly log: Logger;
}

/** Begins recipes when their trigger tag comes to hold what it waits for: once each time it does so. */
export class Triggers {
  readonly #parts: TriggerParts;
  readonly #watched: ReadonlyMap<string, readonly Recipe[]>;
  /** Whether the trigger of a recipe holds at present; absent before the first good sample. */
  readonly #held = new Map<Recipe, boolean>();

  constructor(parts: TriggerParts) {
    this.#parts = parts;
    const watched = new Map<string, Recipe[]>();
    for (const recipe of parts.recipes) {
      if (recipe.trigger) watched.set(recipe.device, [...(watched.get(recipe.device) ?? []), recipe]);
    }
    this.#watched = watched;
  }

  /** Samples as they are read. What is not good says nothing. Never throws. */
  see(device: string, samples: readonly Sample[]): void {
    for (const recipe of this.#watched.get(device) ?? []) {
      const { trigger } = recipe;
      for (const { tag, quality, value } of samples) {
        if (!trigger || tag !== trigger.tag || quality !== "good") continue;
        const now = holds(value, trigger.value);
        const before = this.#held.get(recipe) ?? !trigger.atStart;
        this.#held.set(recipe, now);
        if (now && !before) this.#begin(recipe);
      }
    }
  }

  #begin(recipe: Recipe): void {
    this.#parts.begin(recipe).catch((error: unknown) => {
      // The next look begins it, as long as the trigger holds.
      this.#held.set(recipe, false);
      this.#parts.log.error({ recipe: recipe.name, error: messageOf(error) }, "a recipe could not be begun");
    });
  }
}
