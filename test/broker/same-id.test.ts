import { setTimeout as pause } from "node:timers/promises";
import { afterEach, expect, it } from "vitest";
import { cleanUpAll, connectPacket, RawClient, roundTrip, startBroker, waitFor } from "./support.ts";

afterEach(cleanUpAll);

it("of clients that come at once with the same id one stays", async () => {
  const { port, broker } = await startBroker({ limits: { takeoverEvery: "0ms" } });
  const left: number[] = [];
  for (let round = 0; round < 60; round++) {
    const all = Array.from({ length: 6 }, (_, n) => {
      const one = new RawClient(port);
      one.send(connectPacket({ clientId: "line-1", clean: round % 2 === 0 }));
      one.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: `a/${n}`, qos: 1 }] });
      return one;
    });
    // In the midst of it.
    await pause(round % 4);
    all[round % 6]?.socket.resetAndDestroy();
    const last = new RawClient(port);
    last.send(connectPacket({ clientId: "line-1", clean: false }));
    await last.until("connack");
    // What all of them are still sent, they are sent before this.
    await roundTrip(last);
    await Promise.all(all.map((one) => one.untilClosed()));
    left.push([...all, last].filter(({ closed }) => !closed).length);
    last.socket.destroy();
    await waitFor(() => broker.status().connections === 0, "all left");
  }
  expect(left).toEqual(left.map(() => 1));
});
