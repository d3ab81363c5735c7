import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Packet } from "mqtt-packet";
import { afterEach, describe, expect, it } from "vitest";
import { Lockout, MAX_CHECKS } from "../../gateway/broker/lockout.ts";
import { Logins } from "../../gateway/broker/logins.ts";
import { hashPassword } from "../../gateway/broker/password.ts";
import { PasswordWorker } from "../../gateway/broker/password-worker.ts";
import { Users } from "../../gateway/broker/users.ts";
import { secretReader } from "../../gateway/config/secrets.ts";
import { parsePasswordHash } from "../../gateway/core/password-hash.ts";
import { scratch } from "../support/processes.ts";
import {
  cleanUp,
  cleanUpAll,
  connected,
  connectPacket,
  type LogLine,
  RawClient,
  recordingLogger,
  startBroker,
  waitFor,
} from "./support.ts";

afterEach(cleanUpAll);

/** Of "open sesame": with little work, so that the tests are quick. */
const CHEAP = "scrypt:10:1:1:AAAAAAAAAAAAAAAAAAAAAA:xvjJLYUd73N21nKvmzq6IEBIBM9ZFexiUkVANv_8bz4";
const PASSWORD = "open sesame";

describe("a password hash", () => {
  it("fits its password only, and is another one each time", async () => {
    const [one, two] = [await hashPassword(PASSWORD), await hashPassword(PASSWORD)];
    expect(one).not.toBe(two);
    const worker = new PasswordWorker();
    cleanUp(() => worker.end());
    const fits = (text: string, hash: string) => worker.isPassword(Buffer.from(text), hash);
    expect([await fits(PASSWORD, one), await fits(`${PASSWORD} `, one), await fits(PASSWORD, "none")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(one).toMatch(/^scrypt:14:8:2:[\w-]{22}:[\w-]{43}$/);
  });

  it.each([
    "",
    "open sesame",
    CHEAP.replace("10:1:1", "9:1:1"),
    CHEAP.replace("10:1:1", "17:8:1"),
    CHEAP.replace("10:1:1", "16:99:1"),
    CHEAP.replace("10:1:1", "10:0:1"),
    `${CHEAP}x`.repeat(2),
  ])("is not %s", (text) => {
    expect(parsePasswordHash(text)).toBeUndefined();
  });
});

describe("Lockout", () => {
  it("locks a user from one address after five failures, twice as long each time, a quarter of an hour at most", () => {
    const lockout = new Lockout();
    let now = 0;
    const locks = Array.from({ length: 12 }, () => {
      now += 3_000_000;
      now += lockout.lockedFor("u", "a", now);
      return lockout.failed("u", "a", now) / 1000;
    });
    expect(locks).toEqual([0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]);
    expect([lockout.lockedFor("u", "b", now), lockout.lockedFor("v", "a", now)]).toEqual([0, 0]);
    lockout.passed("u", "a");
    expect(lockout.failed("u", "a", now)).toBe(0);
  });

  it("gives an address ten failures a minute, whatever the user", () => {
    const lockout = new Lockout();
    for (let n = 0; n < MAX_CHECKS; n++) {
      expect(lockout.spentFor("a", n)).toBe(0);
      lockout.failed(`user ${n}`, "a", n);
    }
    expect([lockout.spentFor("a", 20), lockout.spentFor("b", 20)]).toEqual([59_980, 0]);
    expect(lockout.spentFor("a", 60_000)).toBe(0);
  });

  it("forgets the oldest when very many try", () => {
    const lockout = new Lockout();
    for (let n = 0; n < 10_001; n++) for (let i = 0; i < 5; i++) lockout.failed("u", `address ${n}`, n);
    expect(lockout.lockedFor("u", "address 0", 10_001)).toBe(0);
    expect(lockout.lockedFor("u", "address 10000", 10_001)).toBeGreaterThan(0);
  });
});

describe("Logins", () => {
  const user = { name: "u", password: CHEAP, publish: [], subscribe: [], deny: [] };
  const rig = (password: unknown = CHEAP, folder = "/nowhere") => {
    const log: LogLine[] = [];
    let now = 0;
    const users = new Users([{ ...user, password: password as string }], secretReader(folder, {}));
    const logins = new Logins(users, () => now, recordingLogger(log));
    const attempt = async (text: string, address = "a", username = "u") => {
      const result = await logins.who({ address, username, password: Buffer.from(text) });
      return "refusal" in result ? result.refusal.reason : `user ${result.user}`;
    };
    const wait = (ms: number) => {
      now += ms;
    };
    cleanUp(() => logins.end());
    return { attempt, wait, log };
  };

  it("locks out who tries, from there and not from elsewhere, and nobody tries behind its back", async () => {
    const { attempt, wait } = rig();
    const wrong = await Promise.all(Array.from({ length: 8 }, (_, n) => attempt(`wrong ${n}`)));
    expect(wrong).toEqual([...Array(5).fill("bad-login"), ...Array(3).fill("locked")]);
    expect(await attempt(PASSWORD)).toBe("locked");
    expect(await attempt(PASSWORD, "b")).toBe("user u");
    wait(30_000);
    expect(await attempt(PASSWORD)).toBe("user u");
  });

  it("spends ten checks a minute on one address with many users, and lets in those that are known to be right", async () => {
    const { attempt, wait } = rig();
    const wrong = [];
    for (let n = 0; n < 12; n++) wrong.push(await attempt("wrong", "a", `user ${n}`));
    expect(wrong).toEqual([...Array(10).fill("bad-login"), "address-spent", "address-spent"]);
    expect(await attempt(PASSWORD)).toBe("address-spent");
    expect(await attempt(PASSWORD, "b")).toBe("user u");
    expect(await attempt(PASSWORD)).toBe("user u");
    wait(60_000);
    expect(await attempt("wrong", "a", "somebody")).toBe("bad-login");
  });

  it("reads a hash from a file each time, and says what is wrong with it without showing it", async () => {
    const home = scratch("logins");
    try {
      const file = join(home.path, "u.hash");
      const { attempt, log } = rig({ file: "u.hash" }, home.path);
      expect(await attempt(PASSWORD)).toBe("no-hash");
      writeFileSync(file, `${PASSWORD}\n`);
      expect(await attempt(PASSWORD)).toBe("no-hash");
      writeFileSync(file, `${CHEAP}\n`);
      expect(await attempt(PASSWORD)).toBe("user u");
      expect(JSON.stringify(log)).not.toContain(PASSWORD);
    } finally {
      home.remove();
    }
  });
});

describe("a broker with users", () => {
  const users = [
    { name: "u", password: CHEAP, subscribe: ["#"], publish: ["#"] },
    { name: "v", password: CHEAP, subscribe: ["#"], publish: ["#"] },
  ];
  const attempt = async (port: number, wants: object, clientId = "c") => {
    const raw = new RawClient(port);
    raw.send({ ...connectPacket({ clientId }), ...wants } as Packet);
    const [connack] = await raw.until("connack");
    return { raw, code: connack?.cmd === "connack" ? connack.returnCode : undefined };
  };
  const as = (username: string, password = PASSWORD) => ({ username, password: Buffer.from(password) });

  it("answers by CONNACK codes, and no log line has a password", async () => {
    const { port, log, broker } = await startBroker({ users });
    const codes = [];
    for (const wants of [{}, as("u", "wrong secret"), as("nobody"), { username: "u" }, as("u\0"), as("u")]) {
      codes.push((await attempt(port, wants)).code);
    }
    expect(codes).toEqual([5, 4, 4, 4, 4, 0]);
    await waitFor(() => broker.status().connections === 1, "the others are gone");
    expect(JSON.stringify(log)).not.toMatch(/sesame|wrong secret|scrypt/);
    expect(log).toContainEqual(
      expect.objectContaining({
        fields: expect.objectContaining({ address: "127.0.0.1", user: "u", reason: "bad-login" }),
      }),
    );
  });

  it("lets in without a user where that is said, with its own rights", async () => {
    const anonymous = { publish: ["open/#", "%u/x"], subscribe: ["open/%c"] };
    const { port } = await startBroker({ users, anonymous });
    const { raw, code } = await attempt(port, {});
    expect(code).toBe(0);
    raw.send({
      cmd: "subscribe",
      messageId: 1,
      subscriptions: ["open/c", "open/d", "#"].map((topic) => ({ topic, qos: 0 as const })),
    });
    expect(await raw.until("suback")).toMatchObject([{ granted: [0, 128, 128] }]);
    expect((await attempt(port, as("u"), "d")).code).toBe(0);
    expect((await attempt(port, as("u"))).code).toBe(2);
  });

  it("keeps client ids, and the sessions under them, apart by user", async () => {
    const { port, broker } = await startBroker({ users, limits: { takeoverEvery: "0s" } });
    const first = await attempt(port, { ...as("u"), clean: false });
    expect((await attempt(port, as("v"))).code).toBe(2);
    first.raw.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "x", qos: 1 }] });
    await first.raw.until("suback");
    await first.raw.end();
    await waitFor(() => broker.status().clients === 0, "it left");
    expect((await attempt(port, as("v"))).code).toBe(2);
    expect((await attempt(port, { ...as("u"), clean: false })).raw.of("connack")).toMatchObject([
      { returnCode: 0, sessionPresent: true },
    ]);
  });
});

describe("a client id", () => {
  it("changes hands once a second at most", async () => {
    const { port, broker } = await startBroker();
    const first = await connected(port);
    const second = await connected(port);
    await first.untilClosed();
    const third = new RawClient(port);
    third.send(connectPacket());
    expect(await third.until("connack")).toMatchObject([{ returnCode: 2 }]);
    await third.untilClosed();
    expect(second.closed).toBe(false);
    expect(broker.status().clients).toBe(1);
    await second.end();
    await waitFor(() => broker.status().clients === 0, "it left");
    expect((await connected(port)).of("connack")).toMatchObject([{ returnCode: 0 }]);
  });
});
