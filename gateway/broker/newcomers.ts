import type { Socket } from "node:net";

/** Connections that did not log in yet, by address, oldest first: where there is no room, they make it. */
export class Newcomers {
  readonly #byAddress = new Map<string, Set<Socket>>();

  add(address: string, socket: Socket): void {
    const sockets = this.#byAddress.get(address) ?? new Set();
    sockets.add(socket);
    this.#byAddress.set(address, sockets);
  }

  remove(address: string, socket: Socket): void {
    const sockets = this.#byAddress.get(address);
    sockets?.delete(socket);
    if (sockets?.size === 0) this.#byAddress.delete(address);
  }

  /** The oldest from an address; of the address that has most of them when none is given. */
  oldest(address = this.#busiest()): Socket | undefined {
    const [first] = this.#byAddress.get(address) ?? [];
    return first;
  }

  #busiest(): string {
    let most = { address: "", size: 0 };
    for (const [address, { size }] of this.#byAddress) if (size > most.size) most = { address, size };
    return most.address;
  }
}
