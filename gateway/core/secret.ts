/**
 * A value that must not be seen: it shows itself as `[secret]` to every logger, JSON and template. Only `reveal()` gives
 * it, at the last moment before it goes on a wire.
 */
export class Secret {
  readonly #value: string;
  /** Where it came from, fit to be shown: `env MQTT_PASSWORD` or `file /run/credentials/…`. */
  readonly origin: string;

  constructor(value: string, origin: string) {
    this.#value = value;
    this.origin = origin;
  }
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return "[secret]";
  }
  toJSON(): string {
    return "[secret]";
  }
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[secret]";
  }
}
