export interface WillPacket {
  brokerId?: string;
  clientId?: string;
}

/** What connected clients want said when they go without a word. In memory: it ends with the connections. */
export class WillStore {
  readonly #wills = new Map<string, WillPacket>();

  set(clientId: string, packet: WillPacket): void {
    this.#wills.set(clientId, packet);
  }
  get(clientId: string): WillPacket | undefined {
    return this.#wills.get(clientId);
  }
  delete(clientId: string): WillPacket | undefined {
    const will = this.#wills.get(clientId);
    this.#wills.delete(clientId);
    return will;
  }
  /** Wills of brokers that are not among the living. */
  orphans(living: object): WillPacket[] {
    return [...this.#wills.values()].filter(
      ({ brokerId }) => brokerId === undefined || !Object.hasOwn(living, brokerId),
    );
  }
}
