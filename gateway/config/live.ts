import type { Path, Position } from "./faults.ts";
import type { LoadedConfig } from "./types.ts";

/** The configuration that runs: whoever holds it and looks anew sees the next one after a reload. */
export class LiveConfig implements LoadedConfig {
  #now: LoadedConfig;

  constructor(first: LoadedConfig) {
    this.#now = first;
  }

  replace(next: LoadedConfig): void {
    this.#now = next;
  }

  get file() {
    return this.#now.file;
  }
  get folder() {
    return this.#now.folder;
  }
  get given() {
    return this.#now.given;
  }
  get gateway() {
    return this.#now.gateway;
  }
  get broker() {
    return this.#now.broker;
  }
  get capture() {
    return this.#now.capture;
  }
  get commands() {
    return this.#now.commands;
  }
  get recipes() {
    return this.#now.recipes;
  }
  get queue() {
    return this.#now.queue;
  }
  get links() {
    return this.#now.links;
  }
  get uplinks() {
    return this.#now.uplinks;
  }
  get http() {
    return this.#now.http;
  }
  get telemetry() {
    return this.#now.telemetry;
  }
  get profiles() {
    return this.#now.profiles;
  }
  get warnings() {
    return this.#now.warnings;
  }
  position(path: Path): Position {
    return this.#now.position(path);
  }
}
