import type { Aedes } from "aedes";

/** What aedes keeps of a client; its types do not tell. */
interface Registered {
  readonly id: string;
  readonly closed: boolean;
  close(done: () => void): void;
}

interface Registry {
  readonly clients: Readonly<Record<string, Registered | undefined>>;
  registerClient(client: Registered): void;
  unregisterClient(client: Registered): void;
}

/**
 * Holds aedes to one client by id (MQTT-3.1.4-2). By itself it lets the end of an old connection take the entry of the one that
 * replaced it, and two that wait for the same old one both come in: then two are served under one id, none of which a third one ends.
 */
export function holdOneById(aedes: Aedes): void {
  const registry = aedes as Aedes & Registry;
  const { registerClient, unregisterClient } = registry;
  registry.registerClient = (client) => {
    // Its end was seen already: nobody would ever take it out again.
    if (client.closed) return;
    const other = registry.clients[client.id];
    if (other === undefined || other === client) registerClient.call(registry, client);
    else if (other.closed) {
      // It is on its way out, and may not take the entry with it; see below.
      unregisterClient.call(registry, other);
      registerClient.call(registry, client);
    } else other.close(() => registry.registerClient(client));
  };
  registry.unregisterClient = (client) => {
    if (registry.clients[client.id] === client) unregisterClient.call(registry, client);
  };
}
