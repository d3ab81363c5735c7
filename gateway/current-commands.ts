import type { AuditJournal } from "./audit/journal.ts";
import { auditedWrite } from "./audited-write.ts";
import { type Answer, type CommandMessage, type CommandParts, Commands } from "./commands/commands.ts";
import type { Target } from "./commands/target.ts";
import { Triggers } from "./commands/triggers.ts";
import type { LoadedConfig } from "./config/types.ts";
import { NotConnectedError } from "./core/errors.ts";
import type { Logger } from "./core/log.ts";
import type { Sample } from "./core/sample.ts";
import type { Lines } from "./lines.ts";

export interface CurrentCommandsParts extends Omit<CommandParts, "options" | "dataDir" | "targets" | "recipes"> {
  readonly config: LoadedConfig;
  readonly lines: Lines;
  readonly audit: AuditJournal;
}

/**
 * Commands and recipes as the configuration has them now. When devices or recipes change, what is on the wire is finished, and what
 * waits goes over to the next by the ledger on disk, as over a restart.
 */
export class CurrentCommands {
  readonly #parts: CurrentCommandsParts;
  #now: Commands;
  #triggers: Triggers;
  #changing: Promise<void> = Promise.resolve();

  constructor(parts: CurrentCommandsParts) {
    this.#parts = parts;
    this.#now = this.#make();
    this.#triggers = this.#watch(parts.log);
  }

  async load(): Promise<void> {
    await this.#now.load();
  }

  async start(): Promise<void> {
    await this.#now.start();
  }

  async stop(): Promise<void> {
    await this.#changing;
    await this.#now.stop();
  }

  /** From now on with what the configuration says now. Never rejects. */
  async follow(): Promise<void> {
    this.#changing = this.#change();
    await this.#changing;
  }

  matches(topic: string): boolean {
    return this.#now.matches(topic);
  }

  isResult(topic: string): boolean {
    return this.#now.isResult(topic);
  }

  /** As `Commands.take`; waits while the configuration changes. */
  async take(message: CommandMessage): Promise<void> {
    await this.#changing;
    await this.#now.take(message);
  }

  answerFor(uplink: string, topic: string, payload: Uint8Array): Answer | undefined {
    return this.#now.answerFor(uplink, topic, payload);
  }

  async told(): Promise<void> {
    await this.#changing;
    await this.#now.told();
  }

  /** Samples as they are read: a recipe may wait for one. */
  see(device: string, samples: readonly Sample[]): void {
    this.#triggers.see(device, samples);
  }

  async #change(): Promise<void> {
    await this.#now.stop();
    this.#now = this.#make();
    this.#triggers = this.#watch(this.#parts.log);
    await this.#now.load();
    await this.#now.start();
  }

  #make(): Commands {
    const { config, lines: _lines, audit: _audit, ...rest } = this.#parts;
    return new Commands({
      ...rest,
      options: config.commands,
      dataDir: config.gateway.dataDir,
      targets: this.#targets(),
      recipes: config.recipes,
    });
  }

  #watch(log: Logger): Triggers {
    return new Triggers({
      recipes: this.#parts.config.recipes,
      begin: (recipe) => this.#now.trigger(recipe),
      log: log.child({ part: "recipes" }),
    });
  }

  #targets(): Target[] {
    const { config, lines, audit } = this.#parts;
    return config.links.flatMap(({ name, driver, devices }) =>
      devices.map((device): Target => {
        const link = () => lines.get(name) ?? absent(name);
        return {
          device,
          limits: (tag) => driver.writable?.(tag.options),
          write: (writes, signal) =>
            auditedWrite(audit, device.name, writes, () => link().write(device.name, writes, signal)),
          read: (tags, signal) => link().read(device.name, tags, signal),
        };
      }),
    );
  }
}

/** Between the end of a link and its next start. */
function absent(name: string): never {
  throw new NotConnectedError(`link ${name} is not running, nothing was sent`);
}
