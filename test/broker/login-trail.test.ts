import type { Packet } from "mqtt-packet";
import { afterEach, describe, expect, it } from "vitest";
import { HOUR_MS, LoginTrail, MOST_ACCEPTED, MOST_REFUSED } from "../../gateway/broker/login-trail.ts";
import type { AuditEvent } from "../../gateway/core/audit.ts";
import { cleanUp, cleanUpAll, connectPacket, makeBroker, RawClient } from "./support.ts";

afterEach(cleanUpAll);

/** Of "open sesame": with little work, so that the tests are quick. */
const CHEAP = "scrypt:10:1:1:AAAAAAAAAAAAAAAAAAAAAA:xvjJLYUd73N21nKvmzq6IEBIBM9ZFexiUkVANv_8bz4";

function trailOf(): { events: AuditEvent[]; trail: LoginTrail; wait: (ms: number) => void } {
  const events: AuditEvent[] = [];
  let nowMs = 5_000;
  const record = (event: AuditEvent) => {
    events.push(event);
    return Promise.resolve();
  };
  const trail = new LoginTrail({ record }, () => nowMs);
  cleanUp(() => trail.end());
  return {
    events,
    trail,
    wait: (ms) => {
      nowMs += ms;
    },
  };
}

describe("logins at the broker in the audit trail", () => {
  it("are a user at an address once, and a refusal once an hour", async () => {
    const { events, trail, wait } = trailOf();
    for (let n = 0; n < 3; n++) {
      trail.accepted("press-1", "192.0.2.1");
      trail.refused("press-1", "192.0.2.9", "bad-login");
    }
    trail.accepted("press-1", "192.0.2.2");
    trail.accepted(undefined, "127.0.0.1");
    trail.refused(undefined, "192.0.2.9", "busy");
    expect(
      events.map(({ actor, target, address, outcome, detail }) => [actor, target, address, outcome, detail]),
    ).toEqual([
      ["press-1", undefined, "192.0.2.1", "ok", "the first time from there since the start"],
      ["nobody", "press-1", "192.0.2.9", "refused", "bad-login"],
      ["press-1", undefined, "192.0.2.2", "ok", "the first time from there since the start"],
      ["anonymous", undefined, "127.0.0.1", "ok", "the first time from there since the start"],
    ]);
    events.length = 0;
    wait(HOUR_MS);
    trail.refused("press-1", "192.0.2.9", "bad-login");
    expect(events.map(({ detail }) => detail)).toEqual([
      "2 more from 1 address, not written one by one: bad-login 2",
      "bad-login",
    ]);
    await trail.end();
    expect(events.length).toBe(2);
  });

  it("stay few, however many try: a day of 1,000 addresses that guess is 21 entries an hour", async () => {
    const { events, trail, wait } = trailOf();
    for (let hour = 0; hour < 24; hour++) {
      for (let n = 0; n < 5_000; n++)
        trail.refused(undefined, `198.51.100.${n % 1_000}`, n % 2 ? "locked" : "bad-login");
      wait(HOUR_MS);
    }
    await trail.end();
    expect(events.length).toBe(24 * (MOST_REFUSED + 1));
    expect(events[MOST_REFUSED]?.detail).toBe(
      `${5_000 - MOST_REFUSED} more from 1000 or more addresses, not written one by one: bad-login 2490, locked 2490`,
    );
    const told = events.reduce((sum, { detail = "" }) => sum + Number(/^(\d+) more/.exec(detail)?.[1] ?? 1), 0);
    expect(told).toBe(24 * 5_000);
  });

  it("stay few, however many are let in", async () => {
    const { events, trail } = trailOf();
    for (let n = 0; n < 500; n++) trail.accepted("press-1", `2001:db8::${n}`);
    await trail.end();
    await trail.end();
    expect(events.length).toBe(MOST_ACCEPTED + 1);
    expect(events.at(-1)).toMatchObject({
      actor: "gateway",
      outcome: "ok",
      detail: expect.stringMatching(/^440 more/),
    });
  });

  it("come from clients that connect; a name that there is not is not kept: it may be a password", async () => {
    const events: AuditEvent[] = [];
    const record = (event: AuditEvent) => {
      events.push(event);
      return Promise.resolve();
    };
    const users = [{ name: "press-1", password: CHEAP, publish: ["#"] }];
    const { broker } = makeBroker({ users }, undefined, undefined, { record });
    await broker.start();
    cleanUp(() => broker.stop());
    const port = broker.addresses()[0]?.port ?? 0;
    let clients = 0;
    const connect = async (username: string, password: string): Promise<number | undefined> => {
      const client = new RawClient(port);
      const packet = { ...connectPacket({ clientId: `c-${++clients}` }), username, password: Buffer.from(password) };
      client.send(packet as Packet);
      const [connack] = await client.until("connack");
      return connack?.cmd === "connack" ? connack.returnCode : undefined;
    };
    expect(await connect("press-1", "open sesame")).toBe(0);
    expect(await connect("press-1", "open sesame")).toBe(0);
    expect(await connect("press-1", "wrong canary")).toBe(4);
    expect(await connect("canary as a name", "x")).toBe(4);
    expect(
      events.map(({ actor, target, action, outcome, detail }) => [actor, target, action, outcome, detail]),
    ).toEqual([
      ["press-1", undefined, "broker.login", "ok", "the first time from there since the start"],
      ["nobody", "press-1", "broker.login", "refused", "bad-login"],
      ["nobody", undefined, "broker.login", "refused", "bad-login"],
    ]);
    expect(JSON.stringify(events)).not.toContain("canary");
  });
});
