import { type Locate, type Path, type Place, pathText } from "../faults.ts";

/** Where a part of the expanded configuration was written. */
export interface Origin {
  /** Path in the file where it was written. */
  readonly path: Path;
  /** Another file than the configuration. */
  readonly file?: string;
  readonly locate?: Locate;
  /** The device on whose behalf that file is read. */
  readonly usedBy?: string;
}

/** Finds places in an expanded configuration, of which parts were written elsewhere. */
export class Mounts {
  readonly #configuration: Locate;
  readonly #origins = new Map<string, Origin>();

  constructor(configuration: Locate) {
    this.#configuration = configuration;
  }

  /** What stands at `path`, and below it, comes from `origin`. */
  add(path: Path, origin: Origin): void {
    this.#origins.set(pathText(path), origin);
  }

  readonly locate: Locate = (path, part): Place => {
    for (let length = path.length; length > 0; length--) {
      const origin = this.#origins.get(pathText(path.slice(0, length)));
      if (origin === undefined) continue;
      const inside = [...origin.path, ...path.slice(length)];
      const { file, usedBy, locate = this.#configuration } = origin;
      const shown = part === "key" ? inside.slice(0, -1) : inside;
      return {
        ...locate(inside, part),
        path: shown,
        ...(file === undefined ? {} : { file }),
        ...(usedBy === undefined ? {} : { usedBy }),
      };
    }
    return this.#configuration(path, part);
  };
}
