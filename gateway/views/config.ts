import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Worker } from "node:worker_threads";
import { configJsonSchema } from "../config/json-schema.ts";
import type { LoadedConfig } from "../config/types.ts";
import { ConfigError } from "../core/errors.ts";
import type { ConfigCheck, ConfigCompletion, ConfigDiff, ConfigView } from "../http/api/schemas.ts";
import { configCheck, configCompletion, configDiff, configView } from "../http/api/schemas.ts";
import { type ConfigDone, type ConfigJob, configWork } from "./config-work.ts";
import { unmask } from "./unmask.ts";

/** Longer texts are worked on in a thread: links are polled meanwhile. */
const AT_ONCE = 32 * 1024;
const MOST_MS = 60_000;
const MOST_WAITING = 4;
const MEMORY = { maxOldGenerationSizeMb: 512 };

/** The configuration file of a running gateway, and candidates for it. Nothing here changes it. */
export class ConfigViews {
  readonly #config: LoadedConfig;
  readonly #path: string;
  readonly #env: Readonly<Record<string, string | undefined>>;
  #startedWith: string | undefined;
  #waiting = 0;
  #work: Promise<unknown> = Promise.resolve();

  constructor(config: LoadedConfig, env: Readonly<Record<string, string | undefined>>) {
    this.#config = config;
    this.#path = resolve(config.folder, config.file.split("/").at(-1) ?? config.file);
    this.#env = env;
  }

  /** Notes which text the gateway runs with. Never rejects. */
  async start(): Promise<void> {
    this.#startedWith = await readFile(this.#path, "utf8").then(hashOf, () => undefined);
  }

  /** The configuration file. */
  get path(): string {
    return this.#path;
  }

  /** Of the running configuration, for the audit trail. */
  get hash(): string | undefined {
    return this.#startedWith;
  }

  async view(): Promise<ConfigView> {
    const text = await readFile(this.#path, "utf8").catch(() => "");
    const masked = maskedView.parse(await this.#do({ kind: "mask", text }));
    const sha256 = hashOf(text);
    return { file: this.#config.file, ...masked, sha256, changed: sha256 !== this.#startedWith };
  }

  /** A text from the editor with its secrets as the file has them. @throws ConfigError with the line where none stands for one. */
  async unmasked(text: string): Promise<string> {
    return unmask(text, await readFile(this.#path, "utf8").catch(() => ""), this.#config.file);
  }

  /** A text of earlier, as it may be seen. */
  async masked(text: string): Promise<string> {
    return maskedView.parse(await this.#do({ kind: "mask", text })).text;
  }

  schema(): Record<string, unknown> {
    return configJsonSchema();
  }

  /** @throws ConfigError: it takes too long, or too many wait. */
  async check(text: string): Promise<ConfigCheck> {
    const { file, folder } = this.#config;
    const env = Object.keys(this.#env).filter((name) => (this.#env[name] ?? "") !== "");
    return configCheck.parse(await this.#do({ kind: "check", text, file, folder, env }));
  }

  /** @throws ConfigError: it takes too long, or too many wait. */
  async diff(text: string): Promise<ConfigDiff> {
    const present = await readFile(this.#path, "utf8").catch(() => "");
    return configDiff.parse(await this.#do({ kind: "diff", present, text }));
  }

  /** What can stand at an offset of a text. @throws ConfigError: it takes too long, or too many wait. */
  async complete(text: string, offset: number): Promise<ConfigCompletion> {
    return configCompletion.parse(await this.#do({ kind: "complete", text, offset: Math.min(offset, text.length) }));
  }

  #do(job: ConfigJob): Promise<ConfigDone> {
    if (job.text.length <= AT_ONCE) return configWork(job);
    if (this.#waiting >= MOST_WAITING) throw new ConfigError("other configurations are being checked; try again");
    this.#waiting++;
    const done = this.#work.then(() => inThread(job)).finally(() => this.#waiting--);
    this.#work = done.catch(() => {});
    return done;
  }
}

const maskedView = configView.pick({ text: true, masked: true });

/** @throws ConfigError: it took too long or too much memory. */
function inThread(job: ConfigJob): Promise<ConfigDone> {
  // Only what was built has a file that a thread can load.
  if (import.meta.url.endsWith(".ts")) return configWork(job);
  return new Promise((resolve_, reject) => {
    const worker = new Worker(new URL("./config-worker.js", import.meta.url), {
      workerData: job,
      resourceLimits: MEMORY,
    });
    const timer = setTimeout(() => void worker.terminate(), MOST_MS);
    worker.once("message", resolve_);
    worker.once("error", (error) => reject(new ConfigError(`the configuration cannot be checked: ${error.message}`)));
    worker.once("exit", () => {
      clearTimeout(timer);
      reject(new ConfigError(`the configuration is too large to be checked here; use millrace check`));
    });
  });
}

function hashOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
