import { once } from "node:events";
import { createServer } from "node:net";

/** A TCP port on loopback that is free now: the wished one, or any. */
export async function freePort(wished = 0): Promise<number> {
  const server = createServer();
  try {
    server.listen({ host: "127.0.0.1", port: wished, exclusive: true });
    await once(server, "listening");
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  } catch (error) {
    if (wished === 0) throw error;
    return await freePort();
  } finally {
    if (server.listening) {
      server.close();
      await once(server, "close");
    }
  }
}
