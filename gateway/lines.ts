import type { LoadedLink } from "./config/types.ts";
import type { Moves } from "./reload/plan.ts";
import type { Link } from "./southbound/link.ts";

/** The links that run, by their names. */
export class Lines {
  readonly #make: (loaded: LoadedLink) => Link;
  readonly #running = new Map<string, Link>();
  #all: readonly Link[] = [];

  constructor(make: (loaded: LoadedLink) => Link) {
    this.#make = make;
  }

  /** In the order of the configuration. */
  get all(): readonly Link[] {
    return this.#all;
  }

  get(name: string): Link | undefined {
    return this.#running.get(name);
  }

  async start(links: readonly LoadedLink[]): Promise<void> {
    await this.begin(links, new Set(links.map(({ name }) => name)));
  }

  /** Ends those that go and those that are made anew; the others are not touched. */
  async end({ stop }: Moves): Promise<void> {
    await Promise.all(
      [...stop].map(async (name) => {
        await this.#running.get(name)?.stop();
        this.#running.delete(name);
      }),
    );
  }

  /** Starts those of a configuration that come or are made anew. */
  async begin(links: readonly LoadedLink[], names: ReadonlySet<string>): Promise<void> {
    for (const loaded of links) if (names.has(loaded.name)) this.#running.set(loaded.name, this.#make(loaded));
    this.#all = links.flatMap(({ name }) => this.#running.get(name) ?? []);
    for (const name of names) await this.#running.get(name)?.start();
  }

  /** Idempotent, never rejects. */
  async stop(): Promise<void> {
    await Promise.all([...this.#running.values()].map((link) => link.stop()));
  }
}
