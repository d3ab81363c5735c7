/** Counts connections, in all and by address. */
export class Doorman {
  readonly #maxConnections: number;
  readonly #maxPerAddress: number;
  readonly #byAddress = new Map<string, number>();
  #connections = 0;

  constructor(maxConnections: number, maxPerAddress: number) {
    this.#maxConnections = maxConnections;
    this.#maxPerAddress = maxPerAddress;
  }

  get connections(): number {
    return this.#connections;
  }

  /** Lets one in, or says why not. Whoever was let in must `leave`. */
  enter(address: string): "connections" | "address-connections" | undefined {
    const here = this.#byAddress.get(address) ?? 0;
    if (this.#connections >= this.#maxConnections) return "connections";
    if (here >= this.#maxPerAddress) return "address-connections";
    this.#connections += 1;
    this.#byAddress.set(address, here + 1);
    return undefined;
  }

  leave(address: string): void {
    const here = this.#byAddress.get(address) ?? 0;
    this.#connections -= 1;
    if (here > 1) this.#byAddress.set(address, here - 1);
    else this.#byAddress.delete(address);
  }
}
